#include "CHardening.h"
#include "allowed.h"

#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system call filter knows x86_64 and arm64"
#endif

/* The newest call that the list was made with: cachestat, Linux 6.5. */
#define NEWEST_KNOWN_CALL 451
#define REFUSE(error) (SECCOMP_RET_ERRNO | ((error) & SECCOMP_RET_DATA))
#define NEW_NAMESPACES                                                                          \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET)

#define INSTRUCTIONS_MAX 512

struct builder {
	struct sock_filter code[INSTRUCTIONS_MAX];
	unsigned short length;
	bool overflowed;
};

static void emit(struct builder *builder, struct sock_filter instruction)
{
	if (builder->length == INSTRUCTIONS_MAX) {
		builder->overflowed = true;
		return;
	}
	builder->code[builder->length++] = instruction;
}

static void load(struct builder *builder, unsigned int offset)
{
	emit(builder, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

/* The low half of an argument, which is all of those that are looked at here (both architectures are little-endian). */
static void load_argument(struct builder *builder, int index)
{
	load(builder, offsetof(struct seccomp_data, args) + (unsigned int)index * sizeof(uint64_t));
}

static void answer(struct builder *builder, uint32_t action)
{
	emit(builder, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static void answer_if_equal(struct builder *builder, uint32_t value, uint32_t action)
{
	emit(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	answer(builder, action);
}

/* Begins what is said of one call: skipped for every other. end_call() closes it. */
static unsigned short begin_call(struct builder *builder, int number)
{
	unsigned short start = builder->length;

	emit(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 0));
	return start;
}

static void end_call(struct builder *builder, unsigned short start, uint32_t otherwise)
{
	answer(builder, otherwise);
	builder->code[start].jf = (unsigned char)(builder->length - start - 1);
}

/* Says of one call that it is allowed if an argument is one of `values`. */
static void allow_values(struct builder *builder, int number, int argument, const uint32_t *values, size_t count)
{
	unsigned short start = begin_call(builder, number);

	load_argument(builder, argument);
	for (size_t index = 0; index < count; index++)
		answer_if_equal(builder, values[index], SECCOMP_RET_ALLOW);
	end_call(builder, start, REFUSE(EPERM));
}

#define ALLOW_VALUES(builder, number, argument, ...)                          \
	do {                                                                  \
		static const uint32_t values[] = { __VA_ARGS__ };             \
		allow_values(builder, number, argument, values,               \
			     sizeof(values) / sizeof(values[0]));             \
	} while (0)

static void begin(struct builder *builder)
{
	load(builder, offsetof(struct seccomp_data, arch));
	emit(builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCHITECTURE, 1, 0));
	/* The numbers of another architecture mean other calls. */
	answer(builder, SECCOMP_RET_KILL_PROCESS);
	load(builder, offsetof(struct seccomp_data, nr));
}

static int install(struct builder *builder, unsigned int flags)
{
	struct sock_fprog program = { .len = builder->length, .filter = builder->code };
	long result;

	if (builder->overflowed) {
		errno = E2BIG;
		return -1;
	}
	/* SPEC_ALLOW: nothing runs in this process that would have to be kept from the side channels of another. */
	result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			 flags | SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
	if (result > 0) {
		/* The number of a thread that could not be brought into line. */
		errno = EBUSY;
		return -1;
	}
	return (int)result;
}

/* Calls that libraries try first and do without are no news for the kernel's log: clone3(2), whose flags no filter sees. A caller
 * that is refused falls back to clone(2).
 */
static int refuse_in_silence(void)
{
	struct builder builder = { .length = 0 };

	begin(&builder);
	answer_if_equal(&builder, SYS_clone3, REFUSE(ENOSYS));
	answer(&builder, SECCOMP_RET_ALLOW);
	return install(&builder, 0);
}

int hardening_filter_system_calls(void)
{
	struct builder builder = { .length = 0 };
	unsigned short start;

	begin(&builder);

	/* Threads and processes, but no namespaces. */
	start = begin_call(&builder, SYS_clone);
	load_argument(&builder, 0);
	emit(&builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1));
	answer(&builder, REFUSE(EPERM));
	end_call(&builder, start, SECCOMP_RET_ALLOW);
	/* Refused by refuse_in_silence(). */
	answer_if_equal(&builder, SYS_clone3, SECCOMP_RET_ALLOW);

	/* bpf(2) as a whole: it loads and attaches until hardening_filter_serving(). */
	answer_if_equal(&builder, SYS_bpf, SECCOMP_RET_ALLOW);
	ALLOW_VALUES(&builder, SYS_socket, 0, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK);
	ALLOW_VALUES(&builder, SYS_ioctl, 1, FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ, TIOCGPGRP);

	for (size_t index = 0; index < sizeof(allowed_system_calls) / sizeof(allowed_system_calls[0]); index++)
		answer_if_equal(&builder, (uint32_t)allowed_system_calls[index], SECCOMP_RET_ALLOW);

	emit(&builder, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, NEWEST_KNOWN_CALL, 0, 1));
	answer(&builder, REFUSE(ENOSYS));
	answer(&builder, REFUSE(EPERM));
	/* Refused calls can be read in the kernel's log. */
	return install(&builder, SECCOMP_FILTER_FLAG_LOG) != 0 ? -1 : refuse_in_silence();
}

int hardening_filter_serving(void)
{
	struct builder builder = { .length = 0 };

	begin(&builder);
	/* Reading and writing the maps that are there, and pinning links and maps that are held, should the BPF file system be
	 * mounted again. Attaching a program that is held to new interfaces. After a successor that attached its programs has
	 * failed: having a link run a held program, and walking the tasks. Running the loaded programs that read cgroups' levels
	 * and Unix peers' cgroups. Nothing new can be loaded.
	 */
	ALLOW_VALUES(&builder, SYS_bpf, 0, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
		     BPF_MAP_GET_NEXT_KEY, BPF_OBJ_GET, BPF_OBJ_PIN, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY,
		     BPF_PROG_TEST_RUN, BPF_LINK_CREATE, BPF_LINK_UPDATE, BPF_ITER_CREATE);
	/* The C library asks netlink which address families there are, and does without an answer. */
	ALLOW_VALUES(&builder, SYS_socket, 0, AF_UNIX, AF_INET, AF_INET6);
	answer(&builder, SECCOMP_RET_ALLOW);
	return install(&builder, 0);
}
