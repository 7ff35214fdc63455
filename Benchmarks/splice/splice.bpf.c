// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Hands what one end of a local TCP connection sends straight to the other end's
 * receive queue.
 *
 * cgroup/connect4                leads the metadata address to the server
 * sockops ACTIVE_ESTABLISHED_CB  the client enters the map, before its last ACK leaves
 * sockops PASSIVE_ESTABLISHED_CB the server's new socket enters the map
 * sk_msg                         each sendmsg(): redirect to the peer, or leave it to TCP
 * cgroup_skb/egress              attached for one case: a guard that lets no byte pass
 *
 * An experiment: attached to cgroups of its own, and not part of the agent.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "splice.h"

#define CONNECT_ALLOWED 1
#define PACKET_DROPPED 0
#define PACKET_ALLOWED 1

/* Written by the loader while the programs run. */
__u32 splice_mode = SPLICE_OFF;
/* Network order. Constant from load to unload. */
const volatile __u32 splice_metadata_ip4 = 0;
const volatile __u32 splice_server_ip4 = 0;
/* Host order. */
const volatile __u32 splice_server_port = 0;

/* Ends by connection. Written by sockops (or by the loader, for one case); the
 * kernel deletes an entry when its socket closes. Full: the connection stays TCP.
 * A socket takes over the program of the map that it enters, hence two maps for
 * clients: those in `receivers` send by TCP.
 */
#define SOCKETS_MAP(name)                              \
	struct {                                       \
		__uint(type, BPF_MAP_TYPE_SOCKHASH);   \
		__uint(max_entries, 65536);            \
		__type(key, __u64);                    \
		__type(value, __u64);                  \
	} name SEC(".maps")

SOCKETS_MAP(clients);
SOCKETS_MAP(receivers);
SOCKETS_MAP(servers);

/* From the client to the server, as the agent's rendezvous does. Written by the
 * client's sockops, deleted by the server's. Full: the connection stays TCP.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct splice_handshake);
	__type(value, __u64);
} handshakes SEC(".maps");

/* Freed with the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct splice_end);
} ends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SPLICE_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(enum splice_counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		(*value)++;
}

SEC("cgroup/connect4")
int splice_connect4(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == splice_metadata_ip4) {
		ctx->user_ip4 = splice_server_ip4;
		ctx->user_port = bpf_htons((__u16)splice_server_port);
	}
	return CONNECT_ALLOWED;
}

/* Refused: the table is full, the socket has a ULP or another's sk_msg, or is MPTCP. */
static __always_inline bool enter(struct bpf_sock_ops *ctx, void *map, struct splice_end *end,
				  enum splice_counter success)
{
	if (bpf_sock_hash_update(ctx, map, &end->connection, BPF_NOEXIST)) {
		end->tcp_only = 1;
		count(SPLICE_NOT_ADDED);
		return false;
	}
	count(success);
	return true;
}

static __always_inline void client_established(struct bpf_sock_ops *ctx)
{
	struct splice_handshake key = { ctx->snd_una - 1, ctx->rcv_nxt - 1 };
	struct bpf_sock *sk = ctx->sk;
	struct splice_end *end;

	/* TCP_REPAIR establishes without a handshake. */
	if (!sk || !ctx->skb_tcp_flags || bpf_ntohl(ctx->remote_port) != splice_server_port)
		return;
	end = bpf_sk_storage_get(&ends, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end)
		return;
	end->connection = bpf_get_socket_cookie(ctx);
	end->mode = splice_mode;
	end->tcp_only = 0;
	if (end->mode == SPLICE_ANSWERS) {
		if (!enter(ctx, &receivers, end, SPLICE_CLIENTS_ADDED))
			return;
	} else if (end->mode != SPLICE_OFF) {
		if (!enter(ctx, &clients, end, SPLICE_CLIENTS_ADDED))
			return;
	}
	/* Two claims to one key: neither is believed. */
	if (bpf_map_update_elem(&handshakes, &key, &end->connection, BPF_NOEXIST))
		bpf_map_delete_elem(&handshakes, &key);
}

static __always_inline void server_established(struct bpf_sock_ops *ctx)
{
	struct splice_handshake key = { ctx->rcv_nxt - 1, ctx->snd_una - 1 };
	struct bpf_sock *sk = ctx->sk;
	struct splice_end *end;
	__u64 *connection;

	if (!sk || ctx->local_port != splice_server_port)
		return;
	connection = bpf_map_lookup_elem(&handshakes, &key);
	if (!connection)
		return;
	end = bpf_sk_storage_get(&ends, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end)
		return;
	end->connection = *connection;
	end->is_server = 1;
	end->mode = splice_mode;
	if (bpf_map_delete_elem(&handshakes, &key))
		return;
	if (end->mode != SPLICE_OFF)
		enter(ctx, &servers, end, SPLICE_SERVERS_ADDED);
}

SEC("sockops")
int splice_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		client_established(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		server_established(ctx);
		break;
	}
	return 1;
}

static __always_inline struct splice_end *end_of(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;

	return sk ? bpf_sk_storage_get(&ends, sk, NULL, 0) : NULL;
}

/* TCP carries the message, because the server is not in the map yet. What follows
 * must not overtake it: a reader gets spliced bytes first.
 */
static __always_inline int leave_to_tcp(struct splice_end *end)
{
	if (end && end->mode != SPLICE_NAIVE)
		end->tcp_only = 1;
	count(SPLICE_BY_TCP);
	return SK_PASS;
}

SEC("sk_msg")
int splice_answer(struct sk_msg_md *msg)
{
	struct splice_end *end = end_of(msg);
	long verdict;

	if (!end || end->tcp_only)
		return leave_to_tcp(end);
	if (end->mode == SPLICE_ANSWERS)
		verdict = bpf_msg_redirect_hash(msg, &receivers, &end->connection, BPF_F_INGRESS);
	else
		verdict = bpf_msg_redirect_hash(msg, &clients, &end->connection, BPF_F_INGRESS);
	if (verdict != SK_PASS) {
		/* The client was there before the server: it is gone. TCP would put the
		 * answer on the wire for nobody. The sender gets EACCES.
		 */
		count(SPLICE_ANSWERS_DROPPED);
		return SK_DROP;
	}
	count(SPLICE_ANSWERS_SPLICED);
	return SK_PASS;
}

SEC("sk_msg")
int splice_request(struct sk_msg_md *msg)
{
	struct splice_end *end = end_of(msg);

	if (!end || end->tcp_only)
		return leave_to_tcp(end);
	if (bpf_msg_redirect_hash(msg, &servers, &end->connection, BPF_F_INGRESS) != SK_PASS)
		return leave_to_tcp(end);
	count(SPLICE_REQUESTS_SPLICED);
	return SK_PASS;
}

SEC("cgroup_skb/egress")
int splice_guard(struct __sk_buff *skb)
{
	__u8 ip_words, tcp_words;

	if (bpf_skb_load_bytes(skb, 0, &ip_words, 1) ||
	    bpf_skb_load_bytes(skb, (ip_words & 15) * 4 + 12, &tcp_words, 1))
		return PACKET_ALLOWED;
	return skb->len > (__u32)(ip_words & 15) * 4 + (tcp_words >> 4) * 4 ? PACKET_DROPPED :
									      PACKET_ALLOWED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
