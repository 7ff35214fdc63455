/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The number that the kernel gives each network namespace, and never again. */
#ifndef PODIDENTD_COOKIE_H
#define PODIDENTD_COOKIE_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "lib/kernel.h"

/* Before Linux 5.12 it is 0 until a program asks for it, as the connect and bind hooks do. */
static __always_inline __u64 nid_cookie_of(struct net *net)
{
	struct net___counted *counted = (void *)net;

	if (bpf_core_field_exists(net->net_cookie))
		return BPF_CORE_READ(net, net_cookie);
	return BPF_CORE_READ(counted, net_cookie.counter);
}

#endif
