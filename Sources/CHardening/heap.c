#include "CHardening.h"

#include <malloc.h>

void hardening_limit_heaps(int count)
{
	mallopt(M_ARENA_MAX, count);
}

void hardening_release_free_heap(void)
{
	malloc_trim(0);
}
