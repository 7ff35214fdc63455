#include "CSockets.h"

#include <pthread.h>
#include <sys/eventfd.h>

int nid_accept(int listener)
{
	return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int nid_make_wake_up(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void nid_name_this_thread(const char *name)
{
	pthread_setname_np(pthread_self(), name);
}
