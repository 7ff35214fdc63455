/* The system calls that the agent, its libraries and the credential plugins that it starts may make, whatever their
 * arguments. Those whose arguments are looked at, and those that are refused in a way of their own, are in filter.c.
 *
 * Written down from what the agent and its libraries do, with the variants that another C library or another version of
 * one uses. Corrected by what the kernel's log showed refused in end-to-end tests. Not here, among others: mount, setns,
 * unshare, ptrace, process_vm_*, perf_event_open, io_uring_*, keyctl, init_module, kexec_*, reboot, userfaultfd,
 * personality, mknod, chroot, set*uid and capset.
 *
 * Numbers that an architecture does not have are left out by the preprocessor (arm64 has no legacy calls).
 */
#pragma once

#include <sys/syscall.h>

static const int allowed_system_calls[] = {
	/* Files */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_close,
	SYS_close_range, SYS_openat, SYS_openat2, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_statfs, SYS_fstatfs,
	SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_chdir, SYS_fchdir, SYS_mkdirat,
	SYS_unlinkat, SYS_renameat2, SYS_symlinkat, SYS_fchmod, SYS_fchmodat, SYS_umask, SYS_ftruncate, SYS_lseek, SYS_fsync,
	SYS_fdatasync, SYS_flock, SYS_fcntl, SYS_dup, SYS_dup3, SYS_pipe2, SYS_sendfile, SYS_copy_file_range,
	SYS_utimensat, SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_inotify_init1, SYS_inotify_add_watch,
	SYS_inotify_rm_watch, SYS_memfd_create,
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_mkdir, SYS_rmdir, SYS_unlink,
	SYS_rename, SYS_symlink, SYS_chmod, SYS_dup2, SYS_pipe, SYS_inotify_init,
#endif
#ifdef SYS_renameat
	SYS_renameat,
#endif
	/* Memory */
	SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_mincore, SYS_membarrier,
	/* Threads, and programs that are started */
	SYS_execve, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid, SYS_kill, SYS_tkill, SYS_tgkill, SYS_getpid,
	SYS_getppid, SYS_gettid, SYS_getpgid, SYS_setpgid, SYS_getsid, SYS_setsid, SYS_set_tid_address,
	SYS_set_robust_list, SYS_get_robust_list, SYS_rseq, SYS_futex, SYS_sched_yield, SYS_sched_getaffinity,
	SYS_sched_setaffinity, SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_get_priority_max,
	SYS_sched_get_priority_min, SYS_getpriority, SYS_setpriority, SYS_getrlimit, SYS_setrlimit, SYS_prlimit64, SYS_getrusage,
	SYS_times, SYS_uname, SYS_sysinfo, SYS_getcpu, SYS_prctl, SYS_seccomp, SYS_capget, SYS_pidfd_open,
	SYS_pidfd_send_signal, SYS_restart_syscall, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getgroups,
	SYS_getresuid, SYS_getresgid,
#ifdef SYS_futex_waitv
	SYS_futex_waitv,
#endif
#ifdef SYS_fork
	SYS_fork, SYS_vfork, SYS_getpgrp, SYS_arch_prctl, SYS_time,
#endif
	/* Signals and time */
	SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
	SYS_rt_sigpending, SYS_sigaltstack, SYS_signalfd4, SYS_setitimer, SYS_getitimer, SYS_timer_create,
	SYS_timer_settime, SYS_timer_gettime, SYS_timer_delete, SYS_timer_getoverrun, SYS_nanosleep,
	SYS_clock_nanosleep, SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday,
#ifdef SYS_pause
	SYS_pause, SYS_alarm,
#endif
	/* Waiting */
	SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_ppoll, SYS_pselect6, SYS_eventfd2, SYS_timerfd_create,
	SYS_timerfd_settime, SYS_timerfd_gettime,
#ifdef SYS_epoll_pwait2
	SYS_epoll_pwait2,
#endif
#ifdef SYS_epoll_wait
	SYS_epoll_create, SYS_epoll_wait, SYS_poll, SYS_select, SYS_eventfd,
#endif
	/* Sockets; socket(2) itself is looked at */
	SYS_socketpair, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname, SYS_getpeername,
	SYS_setsockopt, SYS_getsockopt, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg,
	SYS_shutdown,
	SYS_getrandom,
};
