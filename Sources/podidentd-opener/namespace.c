#include "opener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* include/uapi/linux/fcntl.h and nsfs.h, Linux 6.18. */
#define FD_NSFS_ROOT (-10003)
#define FILEID_NSFS 0xf1
#define SO_NETNS_COOKIE_NUMBER 71

/* Connections that the kernel keeps between handshake and accept. */
#define BACKLOG 4096

struct namespace_handle {
	struct file_handle header;
	uint64_t cookie;
	uint32_t type;
	uint32_t inode;
};

_Static_assert(sizeof(struct namespace_handle) == 24, "struct file_handle with an nsfs_file_handle");

static int open_by_handle(uint64_t cookie, uint32_t inode)
{
	struct namespace_handle handle = {
		.header = { .handle_bytes = 16, .handle_type = FILEID_NSFS },
		.cookie = cookie,
		.type = CLONE_NEWNET,
		.inode = inode,
	};

	return open_by_handle_at(FD_NSFS_ROOT, &handle.header, O_RDONLY | O_CLOEXEC);
}

static int open_by_process(uint32_t process)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%u/ns/net", process);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool has_inode(int namespace, uint32_t inode)
{
	struct stat status;

	return fstat(namespace, &status) == 0 && status.st_ino == inode;
}

/* The cookie of a socket's namespace; 0 before Linux 5.14, which does not tell it. */
static uint64_t cookie_of(int socket)
{
	uint64_t cookie = 0;
	socklen_t length = sizeof(cookie);

	return getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE_NUMBER, &cookie, &length) == 0 ? cookie : 0;
}

int find_home(struct home *home)
{
	struct stat status;
	int own, found;

	home->descriptor = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home->descriptor < 0 || fstat(home->descriptor, &status) != 0)
		return -1;
	own = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (own < 0)
		return -1;
	found = open_by_handle(cookie_of(own), (uint32_t)status.st_ino);
	close(own);
	home->way = found >= 0 ? WAY_HANDLE : WAY_PROCESS;
	if (found >= 0)
		close(found);
	return 0;
}

static int bind_loopback(int descriptor, enum family family, uint16_t port)
{
	struct sockaddr_in ip4 = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in6 ip6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(port),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};

	return family == FAMILY_IP4 ? bind(descriptor, (struct sockaddr *)&ip4, sizeof(ip4)) :
				      bind(descriptor, (struct sockaddr *)&ip6, sizeof(ip6));
}

/* Listens on the family's loopback address, of the device lo alone: what reaches the address by another device, because
 * it is routed so, finds no server.
 */
static int listen_on(enum family family, uint16_t port)
{
	int domain = family == FAMILY_IP4 ? AF_INET : AF_INET6;
	int descriptor = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, error;

	if (descriptor < 0)
		return -1;
	if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) == 0 &&
	    (family == FAMILY_IP4 ||
	     setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0) &&
	    bind_loopback(descriptor, family, port) == 0 && listen(descriptor, BACKLOG) == 0)
		return descriptor;
	error = errno;
	close(descriptor);
	errno = error;
	return -1;
}

/* Listens on one port for both families. A family that the namespace does not have is left out, unless it is the only
 * one. Returns the number of descriptors, or -1 with errno; EADDRINUSE: another port may be free.
 */
static int listen_on_port(const struct request *request, uint16_t port, struct answer *answer, int descriptors[2])
{
	static const enum family families[] = { FAMILY_IP4, FAMILY_IP6 };
	int count = 0, reason = EINVAL;

	answer->families = 0;
	for (int index = 0; index < 2; index++) {
		int descriptor;

		if (!(request->families & families[index]))
			continue;
		descriptor = listen_on(families[index], port);
		if (descriptor >= 0) {
			descriptors[count++] = descriptor;
			answer->families |= families[index];
			continue;
		}
		reason = errno;
		/* No such address, or no such family: IPv6 is off, or lo is down. */
		if (reason == EADDRNOTAVAIL || reason == EAFNOSUPPORT)
			continue;
		while (count > 0)
			close(descriptors[--count]);
		errno = reason;
		return -1;
	}
	errno = reason;
	return count > 0 ? count : -1;
}

static int listen_in(const struct request *request, struct answer *answer, int descriptors[2])
{
	int count = -1;

	errno = EADDRINUSE;
	for (unsigned int index = 0; count < 0 && errno == EADDRINUSE && index < request->ports; index++) {
		answer->port = (uint16_t)(request->port - index);
		count = listen_on_port(request, answer->port, answer, descriptors);
	}
	return count;
}

/* A namespace of this inode number may be a later one. */
static bool has_cookie(int socket, uint64_t cookie)
{
	uint64_t own = cookie_of(socket);

	return own == 0 || own == cookie;
}

static void open_inside(const struct request *request, struct answer *answer, int descriptors[2])
{
	int count = listen_in(request, answer, descriptors);

	if (count < 0) {
		answer->error = errno;
		answer->step = STEP_LISTEN;
	} else if (!has_cookie(descriptors[0], request->cookie)) {
		while (count > 0)
			close(descriptors[--count]);
		answer->error = ESTALE;
		answer->step = STEP_COMPARE;
	}
	if (answer->error) {
		answer->port = 0;
		answer->families = 0;
	}
}

bool open_listeners(const struct home *home, const struct request *request, struct answer *answer, int descriptors[2])
{
	int namespace = home->way == WAY_HANDLE ? open_by_handle(request->cookie, request->inode) :
						  open_by_process(request->process);

	*answer = (struct answer){ .cookie = request->cookie };
	if (namespace < 0) {
		answer->error = errno;
		answer->step = STEP_FIND;
		return true;
	}
	if (!has_inode(namespace, request->inode)) {
		answer->error = ESTALE;
		answer->step = STEP_COMPARE;
		close(namespace);
		return true;
	}
	if (setns(namespace, CLONE_NEWNET) != 0) {
		answer->error = errno;
		answer->step = STEP_ENTER;
		close(namespace);
		return true;
	}
	close(namespace);
	open_inside(request, answer, descriptors);
	return setns(home->descriptor, CLONE_NEWNET) == 0;
}
