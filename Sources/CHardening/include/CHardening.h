/* The system calls by which the agent gives up rights, the filter over those that it keeps, and its heap.
 *
 * Calls that can fail return 0, or -1 with errno.
 */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <sys/types.h>

/* Sets the calling thread's permitted and effective capabilities to the bits of `kept` that are already permitted, and
 * its inheritable and ambient ones to none. Threads that it starts later inherit that; threads that run already keep
 * theirs.
 */
int hardening_keep_capabilities(uint64_t kept);

/* Takes every capability out of the bounding set: no program that is executed from here on gets any. EPERM: without
 * CAP_SETPCAP the set stays what it is.
 */
int hardening_empty_bounding_set(void);

/* no_new_privs: no execve(2) gives rights that the caller does not have. Inherited, never undone. */
int hardening_forbid_new_privileges(void);

/* No core file, and /proc/PID is closed to other processes without CAP_SYS_PTRACE, the same user's among them. */
int hardening_forbid_dumps(void);

/* Before 5.11 the kernel charges BPF maps to RLIMIT_MEMLOCK: lifts it as far as the caller may. */
void hardening_lift_memory_lock_limit(void);

/* Installs the allow-list on every thread of the process. What is not on it fails with EPERM; what is newer than the
 * list fails with ENOSYS, as on an older kernel, so that libraries fall back. Needs no_new_privs.
 */
int hardening_filter_system_calls(void);

/* Narrows the list for good, on every thread, once everything is attached: nothing is loaded into the kernel or attached
 * there any more, and no socket configures the network.
 */
int hardening_filter_serving(void);

/* Has threads that start later share so many heaps (M_ARENA_MAX of mallopt(3)). */
void hardening_limit_heaps(int count);

/* Gives the pages of what is free in every heap back to the kernel (malloc_trim(3)). */
void hardening_release_free_heap(void);
