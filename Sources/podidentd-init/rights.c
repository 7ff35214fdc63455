#include "supervisor.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The capabilities that the agent keeps (Sources/Hardening/Capability.swift), the opener's that it starts
 * (Sources/podidentd-opener/rights.c), and CAP_SETPCAP, with which both give up the others.
 */
static const unsigned int kept[] = {
	CAP_DAC_READ_SEARCH, CAP_SETPCAP, CAP_NET_ADMIN, 38 /* CAP_PERFMON */, 39 /* CAP_BPF */,
	CAP_NET_BIND_SERVICE, CAP_SYS_PTRACE, CAP_SYS_ADMIN,
};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (unsigned int index = 0; index < sizeof(kept) / sizeof(kept[0]); index++)
		mask |= 1ull << kept[index];
	return mask;
}

static int bound(void)
{
	/* The kernel may know more than our headers: EINVAL is the first that it does not know. */
	for (unsigned long capability = 0; capability < 64; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (held < 0)
			return errno == EINVAL ? 0 : -1;
		if (!held || (kept_mask() >> capability & 1))
			continue;
		if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			/* Without CAP_SETPCAP a container runtime has bounded us. */
			return errno == EPERM ? 0 : -1;
	}
	return 0;
}

int reduce_rights(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit none = { 0, 0 };

	/* Before 5.11 the kernel charges BPF maps to it, and the agent may not lift it any more. */
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (bound() != 0 || syscall(SYS_capget, &header, data) != 0)
		return -1;
	for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		data[word].permitted &= (uint32_t)(kept_mask() >> (32 * word));
		data[word].effective = 0;
		data[word].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -1;
	return setrlimit(RLIMIT_CORE, &none);
}
