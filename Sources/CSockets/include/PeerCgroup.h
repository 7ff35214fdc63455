/* The process at the other end of a Unix socket, by the kernel's word. */
#pragma once

#include <stdint.h>

/* The cgroup that the task which connected is in now, by its ID; after that task's end, the one that it ended in. The task is
 * held by a descriptor of its own (SO_PEERPIDFD, Linux 6.5), and its cgroup asked of that (PIDFD_GET_INFO, Linux 6.13): no
 * process ID is looked up, which another process may have by now.
 *
 * -1 with errno if the kernel cannot say: ENOPROTOOPT and ENOTTY are kernels that are older.
 */
int nid_peer_cgroup(int descriptor, uint64_t *cgroup);
