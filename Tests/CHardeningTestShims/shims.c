#include "CHardeningTestShims.h"

/* podidentd-opener's own, by opener-rights.c. */
#include "opener.h"

void test_opener_call(int by_process, enum test_call call, long first, long second, int expected)
{
	enum way way = by_process ? WAY_PROCESS : WAY_HANDLE;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || filter_system_calls(way))
		_exit(1);
	_exit(test_call(call, first, second, 0) == expected ? 0 : 1);
}
