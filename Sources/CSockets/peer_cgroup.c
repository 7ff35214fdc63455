#include "PeerCgroup.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Newer than the headers of the oldest system that this is built on. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* linux/pidfd.h, the first version of the structure. */
struct peer_info {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t others[12];
};

_Static_assert(sizeof(struct peer_info) == 64, "PIDFD_INFO_SIZE_VER0");

#define PEER_INFO_CGROUP (1ULL << 2)
#define PEER_GET_INFO _IOWR(0xff, 11, struct peer_info)

int nid_peer_cgroup(int descriptor, uint64_t *cgroup)
{
	int task = -1;
	socklen_t length = sizeof(task);
	struct peer_info info = { .mask = PEER_INFO_CGROUP };
	int result, reason;

	if (getsockopt(descriptor, SOL_SOCKET, SO_PEERPIDFD, &task, &length) != 0)
		return -1;
	result = ioctl(task, PEER_GET_INFO, &info);
	reason = errno;
	close(task);
	if (result != 0) {
		errno = reason;
		return -1;
	}
	/* A task whose cgroup is not told has none that counts. */
	if (!(info.mask & PEER_INFO_CGROUP)) {
		errno = ESRCH;
		return -1;
	}
	*cgroup = info.cgroup_id;
	return 0;
}
