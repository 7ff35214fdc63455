#include "supervisor.h"

#include <string.h>

#define PAUSELESS 2
#define FIRST_PAUSE 1000

int64_t pause_after_crash(struct crashes *crashes, int64_t now)
{
	unsigned int old = 0;

	while (old < crashes->count && crashes->times[old] + CRASHES_WINDOW <= now)
		old++;
	crashes->count -= old;
	memmove(crashes->times, crashes->times + old, crashes->count * sizeof(crashes->times[0]));
	crashes->times[crashes->count++] = now;
	if (crashes->count == CRASHES_MAX)
		return -1;
	return crashes->count <= PAUSELESS ? 0 : FIRST_PAUSE << (crashes->count - PAUSELESS - 1);
}
