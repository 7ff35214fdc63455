/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The way of a redirected connection to the agent's listener in the same network
 * namespace, whatever its socket's owner has set up for another way.
 */
#ifndef PODIDENTD_WAY_H
#define PODIDENTD_WAY_H

#include <stdbool.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "lib/destination.h"
#include "lib/kernel.h"

/* Constants that only headers of user space define. */
#define SOCK_STREAM 1
#define SOL_SOCKET 1
#define SO_BINDTODEVICE 25
#define EADDRINUSE 98
#define ECONNREFUSED 111

/* Whether a socket's packets may leave by the loopback interface, whatever interface
 * its owner has bound it to. The lookup at the other end finds no bound socket, either.
 */
static __always_inline bool nid_free_from_device(struct bpf_sock_addr *ctx)
{
	char none[4] = {};

	if (!ctx->sk || !ctx->sk->bound_dev_if)
		return true;
	return !bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTODEVICE, none, sizeof(none));
}

/* Where a connection is redirected. */
struct nid_way {
	/* Host order. */
	__u16 port;
	/* The listener is at ::1. */
	bool is_ipv6;
};

/* Whether a caller that named an IPv6 address can be redirected to ::1 only: its socket has
 * an IPv6 source, or takes no IPv4.
 */
static __always_inline bool nid_needs_ipv6(struct bpf_sock *socket)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(socket);
	struct sock_common *common;

	if (!tcp)
		return false;
	common = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	return socket->src_ip6[0] || socket->src_ip6[3] ||
	       BPF_CORE_READ_BITFIELD_PROBED(common, skc_ipv6only);
}

static __always_inline struct nid_way nid_way_to(const struct nid_listener *listener,
						 struct bpf_sock *socket,
						 const struct nid_address *destination,
						 __u16 port_of_held)
{
	struct nid_way way = { .port = listener ? listener->port : port_of_held };

	if (nid_is_mapped(destination))
		return way;
	way.is_ipv6 = listener ? !!(listener->families & NID_LISTENER_IPV6) : nid_needs_ipv6(socket);
	return way;
}

#endif
