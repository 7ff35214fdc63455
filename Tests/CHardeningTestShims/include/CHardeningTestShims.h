/* Any system call, which Swift cannot make by itself: syscall(2) is variadic. */
#pragma once

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum test_call {
	TEST_BIND = SYS_bind,
	TEST_BPF = SYS_bpf,
	TEST_CLONE = SYS_clone,
	TEST_CLONE3 = SYS_clone3,
	TEST_CLOSE = SYS_close,
	TEST_EXIT_GROUP = SYS_exit_group,
	TEST_FSTAT = SYS_fstat,
	TEST_GETPID = SYS_getpid,
	TEST_GETSOCKOPT = SYS_getsockopt,
	TEST_IOCTL = SYS_ioctl,
	TEST_IO_URING_SETUP = SYS_io_uring_setup,
	TEST_LISTEN = SYS_listen,
	TEST_MOUNT = SYS_mount,
	TEST_NEWFSTATAT = SYS_newfstatat,
	TEST_OPENAT = SYS_openat,
	TEST_OPEN_BY_HANDLE_AT = SYS_open_by_handle_at,
	TEST_PTRACE = SYS_ptrace,
	TEST_RECVMSG = SYS_recvmsg,
	TEST_SENDMSG = SYS_sendmsg,
	TEST_SETNS = SYS_setns,
	TEST_SETSOCKOPT = SYS_setsockopt,
	TEST_SOCKET = SYS_socket,
	TEST_UNSHARE = SYS_unshare,
	/* Newer than any. */
	TEST_FUTURE = 4000,
};

static inline int test_is_dumpable(void)
{
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

/* 0 or the error number. */
static inline int test_call(enum test_call call, long first, long second, long third)
{
	return syscall(call, first, second, third) < 0 ? errno : 0;
}

/* Installs the system call filter of podidentd-opener, makes one call, and ends the process: with 0 if the call's error number
 * is the expected one. All of it in C: between two calls Swift may ask the kernel for memory, which the filter kills.
 */
void test_opener_call(int by_process, enum test_call call, long first, long second, int expected) __attribute__((noreturn));

/* Makes one call of this number below the same filter, in a child. Returns 1 if the filter lets it through, 0 if it kills, and -1
 * if the child ended in another way.
 */
int test_opener_allows(int by_process, long number);

/* How many heaps the process has while so many more threads have memory. -1: they could not be made. */
int test_heaps_with_threads(int count);
