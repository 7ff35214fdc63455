#include "CHardeningTestShims.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* podidentd-opener's own, by opener-rights.c. */
#include "opener.h"

/* A status that no call below gives. */
#define NOT_FILTERED 7

void test_opener_call(int by_process, enum test_call call, long first, long second, int expected)
{
	enum way way = by_process ? WAY_PROCESS : WAY_HANDLE;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || filter_system_calls(way))
		_exit(1);
	_exit(test_call(call, first, second, 0) == expected ? 0 : 1);
}

/* Arguments that no call does anything for; those that the filter looks at are the opener's. */
static void make_call(long number)
{
	long family = number == SYS_socket ? AF_INET : -1;
	long kind = number == SYS_setns ? CLONE_NEWNET : -1;

	(void)syscall(number, family, kind, -1L, -1L, -1L, -1L);
}

int test_opener_allows(int by_process, long number)
{
	enum way way = by_process ? WAY_PROCESS : WAY_HANDLE;
	pid_t child = fork();
	int status;

	if (child == 0) {
		/* A call that waits ends by a signal, which is another end than the filter's. A killed process leaves no core. */
		alarm(10);
		if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || filter_system_calls(way))
			_exit(NOT_FILTERED);
		make_call(number);
		_exit(0);
	}
	if (child < 0)
		return -1;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? 0 : -1;
	return WEXITSTATUS(status) == NOT_FILTERED ? -1 : 1;
}
