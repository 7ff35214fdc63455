#include "CSockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

int nid_accept(int listener)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);

	return accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int nid_make_wake_up(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int nid_make_wait(int wake_up)
{
	struct epoll_event commands = { .events = EPOLLIN, .data.u64 = NID_WAIT_COMMANDS };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		return -1;
	if (epoll_ctl(set, EPOLL_CTL_ADD, wake_up, &commands) != 0) {
		int reason = errno;

		close(set);
		errno = reason;
		return -1;
	}
	return set;
}

int nid_wait_add(int set, int listener, uint64_t number)
{
	struct epoll_event connections = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = number };

	return epoll_ctl(set, EPOLL_CTL_ADD, listener, &connections);
}

void nid_wait_remove(int set, int listener)
{
	struct epoll_event ignored = { 0 };

	(void)epoll_ctl(set, EPOLL_CTL_DEL, listener, &ignored);
}

int nid_wait(int set, uint64_t numbers[NID_WAIT_MAX], int timeout)
{
	struct epoll_event events[NID_WAIT_MAX];
	int count = epoll_wait(set, events, NID_WAIT_MAX, timeout);

	for (int index = 0; index < count; index++)
		numbers[index] = events[index].data.u64;
	return count;
}

void nid_name_this_thread(const char *name)
{
	pthread_setname_np(pthread_self(), name);
}

int nid_make_device(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int device = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int control, reason, result = -1;

	if (device < 0)
		return -1;
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (control >= 0 && ioctl(device, TUNSETIFF, &request) == 0) {
		request.ifr_flags = IFF_UP;
		result = ioctl(control, SIOCSIFFLAGS, &request);
	}
	reason = errno;
	if (control >= 0)
		close(control);
	if (result == 0)
		return device;
	close(device);
	errno = reason;
	return -1;
}
