#include "CHardening.h"

#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int hardening_keep_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) != 0)
		return -1;
	for (int word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
		data[word].permitted &= (uint32_t)(kept >> (32 * word));
		data[word].effective = data[word].permitted;
		data[word].inheritable = 0;
	}
	/* Emptying the inheritable set empties the ambient one, too. */
	return (int)syscall(SYS_capset, &header, data);
}

int hardening_empty_bounding_set(void)
{
	/* The kernel may know more capabilities than our headers: EINVAL is the first that it does not know. */
	for (unsigned long capability = 0; capability < 64; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		if (held < 0)
			return errno == EINVAL ? 0 : -1;
		if (held && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
			return -1;
	}
	return 0;
}

int hardening_forbid_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int hardening_forbid_dumps(void)
{
	struct rlimit none = { 0, 0 };

	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ? -1 : setrlimit(RLIMIT_CORE, &none);
}

void hardening_lift_memory_lock_limit(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
}
