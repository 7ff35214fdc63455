/* The kernel's own structures behind a socket of the world. */
#pragma once

#include "lib/kernel.h"
#include "world.h"

_Static_assert(sizeof(struct tcp_sock) <= sizeof(((struct model_socket *)0)->tcp), "a tcp_sock fits into a socket");

static inline struct tcp_sock *tcp_of(struct model_socket *socket)
{
	return (struct tcp_sock *)socket->tcp;
}

struct cgroup *cgroup_of_pod(int pod);
