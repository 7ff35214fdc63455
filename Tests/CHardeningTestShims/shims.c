#include "CHardeningTestShims.h"

/* podidentd-opener's own, by opener-rights.c. */
#include "opener.h"

int test_filter_opener(int by_process)
{
	enum way way = by_process ? WAY_PROCESS : WAY_HANDLE;

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || filter_system_calls(way);
}
