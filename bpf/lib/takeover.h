/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Gives an accepted socket the tag of its caller: finds the client's socket, which
 * is in the same network namespace, and copies its note.
 *
 * Both ends exist at this moment, so that nothing has to wait between them. There is
 * no table in which an attacker could plant, lend or flood entries.
 */
#ifndef PODIDENTD_TAKEOVER_H
#define PODIDENTD_TAKEOVER_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "lib/connection.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/pods.h"

static __always_inline bool nid_is_open_state(__u32 state)
{
	return state == BPF_TCP_ESTABLISHED || state == BPF_TCP_FIN_WAIT1 ||
	       state == BPF_TCP_FIN_WAIT2 || state == BPF_TCP_CLOSE_WAIT;
}

static __always_inline bool nid_is_far_end(struct tcp_sock *server, struct tcp_sock *client)
{
	struct nid_ends ends;

	ends.client_acknowledged = BPF_CORE_READ(client, snd_una);
	ends.server_expects = BPF_CORE_READ(server, rcv_nxt);
	ends.client_written = BPF_CORE_READ(client, write_seq);
	ends.server_next = BPF_CORE_READ(server, snd_nxt);
	ends.client_expects = BPF_CORE_READ(client, rcv_nxt);
	return nid_are_ends_of_one(&ends);
}

/* Copies the note of the far end, if it is one of ours and this connection's.
 *
 * Checks after it has copied: a socket whose note is written again has left its
 * connection before that, so that no copy is made of two notes.
 */
static __always_inline enum nid_stat nid_copy_note(struct bpf_sock *client, struct bpf_sock *server,
						   __u64 netns_cookie, struct nid_tag *tag)
{
	struct tcp_sock *client_tcp, *server_tcp;
	const struct nid_note *note;

	/* Reset while it waited to be accepted: the client's port may be another's by now. */
	if (server->state == BPF_TCP_CLOSE)
		return NID_STAT_UNTAGGED;
	note = bpf_sk_storage_get(&nid_notes, client, NULL, 0);
	if (!note)
		return NID_STAT_UNTAGGED;
	*tag = note->tag;
	client_tcp = bpf_skc_to_tcp_sock(client);
	server_tcp = bpf_skc_to_tcp_sock(server);
	if (!client_tcp || !server_tcp || !nid_is_open_state(client->state) ||
	    tag->netns_cookie != netns_cookie || !nid_is_far_end(server_tcp, client_tcp))
		return NID_STAT_MISMATCHED;
	return NID_STAT_TAGGED;
}

/* The accepted connection, as a packet from the agent to the client has it. Returns its size. */
static __always_inline __u32 nid_arrival(struct bpf_sock_addr *ctx, struct bpf_sock *server,
					 bool is_ipv6, struct bpf_sock_tuple *tuple)
{
	if (!is_ipv6) {
		tuple->ipv4.saddr = server->src_ip4;
		tuple->ipv4.sport = bpf_htons(server->src_port);
		tuple->ipv4.daddr = ctx->user_ip4;
		tuple->ipv4.dport = ctx->user_port;
		return sizeof(tuple->ipv4);
	}
	for (int i = 0; i < 4; i++) {
		tuple->ipv6.saddr[i] = server->src_ip6[i];
		tuple->ipv6.daddr[i] = ctx->user_ip6[i];
	}
	tuple->ipv6.sport = bpf_htons(server->src_port);
	tuple->ipv6.dport = ctx->user_port;
	return sizeof(tuple->ipv6);
}

/* Looks once: a client that is not found now is not looked for again. `is_ipv6` is known
 * to the compiler: a program may not read the other family's fields of its context.
 */
static __always_inline void nid_take_over(struct bpf_sock_addr *ctx, struct bpf_sock *server,
					  struct nid_tag *tag, bool is_ipv6)
{
	enum nid_stat outcome = NID_STAT_UNTAGGED;
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *client;
	__u32 size = nid_arrival(ctx, server, is_ipv6, &tuple);

	client = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (client) {
		if (ctx->sk)
			outcome = nid_copy_note(client, ctx->sk, bpf_get_netns_cookie(ctx), tag);
		bpf_sk_release(client);
	}
	if (outcome == NID_STAT_TAGGED)
		nid_count_arrival(tag->pod, tag->netns_cookie);
	else
		tag->state = NID_TAG_REFUSED;
	nid_count(outcome);
}

#endif
