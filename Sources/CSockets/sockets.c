#include "CSockets.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int nid_accept(int listener)
{
	return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int nid_make_wake_up(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

int nid_make_idle_wait(int listener, int wake_up)
{
	struct epoll_event connections = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.u32 = NID_READY_CONNECTIONS };
	struct epoll_event commands = { .events = EPOLLIN, .data.u32 = NID_READY_COMMANDS };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		return -1;
	if (epoll_ctl(set, EPOLL_CTL_ADD, listener, &connections) != 0 ||
	    epoll_ctl(set, EPOLL_CTL_ADD, wake_up, &commands) != 0) {
		int reason = errno;

		close(set);
		errno = reason;
		return -1;
	}
	return set;
}

uint32_t nid_wait_idle(int set, int timeout)
{
	struct epoll_event events[2];
	int count = epoll_wait(set, events, 2, timeout);
	uint32_t ready = 0;

	if (count < 0)
		return NID_READY_FAILED;
	for (int i = 0; i < count; i++)
		ready |= events[i].data.u32;
	return ready;
}

void nid_name_this_thread(const char *name)
{
	pthread_setname_np(pthread_self(), name);
}
