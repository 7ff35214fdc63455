#include "opener.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the opener's system call filter knows x86_64 and arm64"
#endif

static uint64_t kept_capabilities(enum way way)
{
	/* setns(2), and opening nsfs handles; ports below 1024, which no process of a pod's user binds. */
	uint64_t kept = 1ull << CAP_SYS_ADMIN | 1ull << CAP_NET_BIND_SERVICE;

	/* Opening /proc/PID/ns/net of another user's process. */
	return way == WAY_PROCESS ? kept | 1ull << CAP_SYS_PTRACE : kept;
}

static int empty_bounding_set(void)
{
	/* The kernel may know more than our headers: EINVAL is the first that it does not know. */
	for (unsigned long capability = 0; capability < 64; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (held < 0)
			return errno == EINVAL ? 0 : -1;
		if (held && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			/* Without CAP_SETPCAP a container runtime has bounded us. */
			return errno == EPERM ? 0 : -1;
	}
	return 0;
}

int reduce_rights(enum way way)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct rlimit none = { 0, 0 };
	uint64_t kept = kept_capabilities(way);

	if (empty_bounding_set() != 0 || syscall(SYS_capget, &header, data) != 0)
		return -1;
	for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		data[word].permitted &= (uint32_t)(kept >> (32 * word));
		data[word].effective = data[word].permitted;
		data[word].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -1;
	return setrlimit(RLIMIT_CORE, &none);
}

/* Calls that are allowed whatever their arguments. */
static const int allowed_calls[] = {
	SYS_recvmsg, SYS_sendmsg, SYS_close, SYS_bind, SYS_listen, SYS_setsockopt, SYS_getsockopt,
	SYS_fstat, SYS_newfstatat, SYS_exit_group,
};

#define INSTRUCTIONS_MAX 64
#define LOW_HALF(index) (offsetof(struct seccomp_data, args) + (index) * sizeof(uint64_t))

struct program {
	struct sock_filter code[INSTRUCTIONS_MAX];
	unsigned short length;
};

static void emit(struct program *program, struct sock_filter instruction)
{
	/* One too many, and the kernel refuses the program. */
	if (program->length < INSTRUCTIONS_MAX)
		program->code[program->length] = instruction;
	program->length++;
}

static void allow(struct program *program, int call)
{
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1));
	emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

/* Allows a call whose argument is one of two values, and kills for any other. */
static void allow_with(struct program *program, int call, unsigned int argument, uint32_t one, uint32_t other)
{
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5));
	emit(program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)LOW_HALF(argument)));
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0));
	emit(program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1));
	emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	emit(program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
}

int filter_system_calls(enum way way)
{
	struct program program = { .length = 0 };
	struct sock_fprog installed = { .filter = program.code };

	emit(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
	emit(&program, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCHITECTURE, 1, 0));
	emit(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	emit(&program, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (size_t index = 0; index < sizeof(allowed_calls) / sizeof(allowed_calls[0]); index++)
		allow(&program, allowed_calls[index]);
	/* The one that finds namespaces; of the other two files could be opened. */
	allow(&program, way == WAY_HANDLE ? SYS_open_by_handle_at : SYS_openat);
	allow_with(&program, SYS_socket, 0, AF_INET, AF_INET6);
	allow_with(&program, SYS_setns, 1, CLONE_NEWNET, CLONE_NEWNET);
	emit(&program, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	installed.len = program.length;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &installed);
}
