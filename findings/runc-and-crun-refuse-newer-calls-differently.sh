#!/bin/bash
# One seccomp profile, two answers: runc invents ENOSYS for system calls that are newer than the profile, crun says EPERM.
#
# Versions: runc 1.1.5+ds1-1+deb12u1, crun 1.8.1-1+deb12u1, libseccomp2 2.5.4-1+deb12u1, libyajl2 2.1.0-3+deb12u2 (Debian 12).
# Expected: with defaultAction SCMP_ACT_ERRNO and no defaultErrnoRet, every call that the profile does not name ends with EPERM
#           (OCI runtime specification, Linux seccomp), whichever runtime applies it.
# Seen:     crun: EPERM for all. runc: EPERM for what is older than the newest call that the profile names, here faccessat2
#           (439); ENOSYS for every call with a higher number, landlock_create_ruleset (444) and cachestat (451) among them.
#           Naming one newer call, landlock_restrict_self (446), turns the ENOSYS of those below it into EPERM.
# So what:  a program that falls back on ENOSYS alone works in one runtime and fails in the other; a profile for both names
#           something newer than all that it refuses on purpose, or the program takes EPERM for "not there".
# Needs root: runs containers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download runc=1.1.5+ds1-1+deb12u1 crun=1.8.1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 \
    libyajl2=2.1.0-3+deb12u2
for package in *.deb; do dpkg-deb -x "$package" packages; done
export LD_LIBRARY_PATH=$folder/packages/usr/lib/$(uname -m)-linux-gnu
mkdir -p root/dev root/proc
cat > call.c <<'C'
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	for (int i = 1; i < count; i++) {
		long result = syscall(atol(arguments[i]), -1, 0, 0, 0, 0, 0);
		printf("%s%s", i > 1 ? " " : "", result >= 0 ? "done" : errno == EPERM ? "EPERM" : errno == ENOSYS ? "ENOSYS" : "other");
	}
	printf("\n");
}
C
cc -static -o root/call call.c
# unshare (272), landlock_create_ruleset (444), cachestat (451). $1: one more name that the profile allows.
bundle() {
    python3 - "$1" <<'PY'
import json, sys

names = """access arch_prctl brk capget capset chdir close dup dup3 epoll_create1 epoll_ctl epoll_pwait execve exit exit_group
    clone clone3 faccessat faccessat2 fchdir fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getpid getppid
    getrandom gettid getuid ioctl lseek madvise mmap mprotect munmap nanosleep newfstatat open openat pipe2 prctl pread64
    prlimit64 read readlink readlinkat rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield seccomp
    setgid setgroups setresgid setresuid setuid set_robust_list set_tid_address sigaltstack socket stat statfs statx tgkill
    umask uname write writev""".split() + sys.argv[1].split()
json.dump({
    "ociVersion": "1.0.2",
    "process": {
        "args": ["/call", "272", "444", "451"], "cwd": "/", "noNewPrivileges": True, "user": {"uid": 0, "gid": 0},
    },
    "root": {"path": "root"},
    "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
    "linux": {
        "namespaces": [{"type": "mount"}, {"type": "pid"}],
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
        },
    },
}, open("config.json", "w"))
PY
}
run() {
    # crun 1.8.1 wants cgroup v2 alone: shows it that hierarchy where the machine has both.
    unshare --mount --propagation slave bash -c '
        if [ -d /sys/fs/cgroup/unified ]; then mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup; fi
        exec "$@"' _ "$@"
}
bundle ""
crun=$(run packages/usr/bin/crun --cgroup-manager=disabled --root state run --bundle . by-crun)
runc=$(packages/usr/sbin/runc --root state run --bundle . by-runc)
bundle landlock_restrict_self
newer=$(packages/usr/sbin/runc --root state run --bundle . by-runc)
printf '%s\n' "                               unshare landlock cachestat" "crun:                          $crun" \
    "runc:                          $runc" "runc, with a newer call named: $newer"
[ "$crun" = "EPERM EPERM EPERM" ]
[ "$runc" = "EPERM ENOSYS ENOSYS" ]
[ "$newer" = "EPERM EPERM ENOSYS" ]
