// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Hands the caller's tag from the connecting to the accepting socket.
 *
 * sockops TCP_CONNECT_CB          the client is about to send its SYN: one more of
 *                                 its pod's connections, announced to the agent's
 *                                 socket
 * sockops ACTIVE_ESTABLISHED_CB   the redirected client claims its connection,
 *                                 before its last ACK of the handshake leaves
 * sockops PASSIVE_ESTABLISHED_CB  the agent's new socket takes the tag over,
 *                                 before accept() can return it
 * sockops STATE_CB                a client that closes takes its claim back
 * cgroup/sock_release             the agent closes its socket: one less of the
 *                                 pod's connections. Not before, or connections
 *                                 that were reset while they wait to be accepted
 *                                 would fill the agent's queue uncounted
 * socket                          on the agent's listening socket: drops SYNs that
 *                                 nobody announced, before they cost anything
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/handover.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/pods.h"

#define EEXIST 17
#define LOOPBACK_IFINDEX 1

#define RELEASE_ALLOWED 1
#define PACKET_DROPPED 0
#define PACKET_WHOLE 0xffffffff

/* Offsets in a TCP header, and bits at the second. */
#define TCP_SEQUENCE 4
#define TCP_FLAGS 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* Host order. Constant from load to unload. */
const volatile __u32 nid_listen_port = 0;

static __always_inline __u32 *announcement(__u32 client_isn)
{
	__u32 index = nid_mix(0, client_isn) & (NID_ANNOUNCEMENTS - 1);

	return bpf_map_lookup_elem(&nid_announced, &index);
}

static __always_inline void announce(struct nid_note *note, struct bpf_sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	__u32 *counter;

	if (!tcp)
		return;
	note->key.client_isn = BPF_CORE_READ(tcp, write_seq);
	counter = announcement(note->key.client_isn);
	if (!counter)
		return;
	__sync_fetch_and_add(counter, 1);
	note->announced = 1;
}

static __always_inline void retract(struct nid_note *note)
{
	__u32 *counter;

	if (!note->announced)
		return;
	note->announced = 0;
	counter = announcement(note->key.client_isn);
	if (counter)
		__sync_fetch_and_add(counter, -1);
}

/* Counted here and not in the connect hook: from here on the socket's close is
 * certain to be seen. As many connects as there are CPUs may pass the limit at
 * the same time.
 */
static __always_inline void begin(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct nid_note *note;

	if (!sk)
		return;
	note = bpf_sk_storage_get(&nid_notes, sk, NULL, 0);
	if (!note || note->counted)
		return;
	if (bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG))
		return;
	note->counted =
		nid_add_connection(note->tag.pod, note->tag.state == NID_TAG_CLAIMED);
	announce(note, sk);
}

static __always_inline void claim(struct bpf_sock_ops *ctx)
{
	struct nid_handover handover = {};
	struct nid_handover *other;
	struct nid_note *note;
	long error;

	if (!ctx->sk)
		return;
	note = bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, 0);
	if (!note || note->claimed)
		return;
	retract(note);
	if (note->tag.state != NID_TAG_CLAIMED)
		return;
	/* TCP_REPAIR establishes without a handshake: its numbers are chosen. */
	if (!ctx->skb_tcp_flags) {
		nid_count(NID_STAT_CLAIM_WITHOUT_PACKET);
		return;
	}
	note->key = nid_client_key(ctx->snd_una, ctx->rcv_nxt);
	handover.tag = note->tag;
	handover.seal = nid_seal(&note->tag, &note->key);
	handover.counted = note->counted;
	error = bpf_map_update_elem(&nid_handovers, &note->key, &handover, BPF_NOEXIST);
	if (!error) {
		note->claimed = 1;
		note->counted = 0;
		nid_count(NID_STAT_CLAIMED);
		return;
	}
	if (error != -EEXIST) {
		nid_count(NID_STAT_CLAIM_TABLE_FULL);
		return;
	}
	/* One of the two claimants is not what it says. Neither gets a tag. */
	other = bpf_map_lookup_elem(&nid_handovers, &note->key);
	if (other)
		other->voided = 1;
	nid_count(NID_STAT_CLAIM_CONFLICT);
}

static __always_inline void take_over(struct bpf_sock_ops *ctx)
{
	struct nid_handover *handover;
	struct nid_handover copy;
	enum nid_outcome outcome;
	struct nid_tag *tag;
	struct nid_key key;

	if (!ctx->sk || ctx->local_port != nid_listen_port)
		return;
	/* Cloned from the agent's listening socket, hence only there. */
	tag = bpf_sk_storage_get(&nid_tags, ctx->sk, NULL, 0);
	if (!tag)
		return;
	key = nid_server_key(ctx->snd_una, ctx->rcv_nxt);
	handover = bpf_map_lookup_elem(&nid_handovers, &key);
	if (!handover) {
		nid_count(NID_STAT_UNTAGGED);
		return;
	}
	copy = *handover;
	/* Who deletes it owns it: no claim is consumed twice. */
	if (bpf_map_delete_elem(&nid_handovers, &key)) {
		nid_count(NID_STAT_UNTAGGED);
		return;
	}
	outcome = nid_judge_handover(&copy, &key);
	/* A torn copy may name another pod: it counts as nobody's. */
	if (copy.counted && outcome != NID_OUTCOME_TORN) {
		tag->pod = copy.tag.pod;
		tag->counted = 1;
	}
	/* No switch: the compiler marks the end of one that names every outcome with
	 * a call of __bpf_trap, which Linux has since 6.16 only.
	 */
	if (outcome == NID_OUTCOME_TAGGED) {
		copy.tag.counted = tag->counted;
		*tag = copy.tag;
		nid_count_arrival(copy.tag.pod);
		nid_count(NID_STAT_TAGGED);
	} else if (outcome == NID_OUTCOME_VOIDED) {
		nid_count(NID_STAT_VOIDED);
	} else {
		nid_count(NID_STAT_TORN);
	}
}

static __always_inline void withdraw(struct bpf_sock_ops *ctx)
{
	const struct nid_handover *handover;
	struct nid_note *note;
	__u32 counted;

	if (!ctx->sk || ctx->args[1] != BPF_TCP_CLOSE)
		return;
	note = bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, 0);
	if (!note)
		return;
	retract(note);
	if (!note->claimed) {
		if (note->counted)
			nid_subtract_connection(note->tag.pod);
		note->counted = 0;
		return;
	}
	note->claimed = 0;
	handover = bpf_map_lookup_elem(&nid_handovers, &note->key);
	if (!handover || handover->tag.socket_cookie != note->tag.socket_cookie)
		return;
	counted = handover->counted;
	/* Who deletes it owns it, and the count with it. */
	if (bpf_map_delete_elem(&nid_handovers, &note->key))
		return;
	if (counted)
		nid_subtract_connection(note->tag.pod);
	nid_count(NID_STAT_WITHDRAWN);
}

SEC("sockops")
int nid_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		begin(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		claim(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		take_over(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		withdraw(ctx);
		break;
	}
	return 1;
}

SEC("cgroup/sock_release")
int nid_release(struct bpf_sock *ctx)
{
	struct nid_tag *tag = bpf_sk_storage_get(&nid_tags, ctx, NULL, 0);

	if (tag && tag->counted) {
		tag->counted = 0;
		nid_subtract_connection(tag->pod);
	}
	return RELEASE_ALLOWED;
}

/* Accepted sockets inherit it, and pass by the first condition. Whoever is on
 * this side of every interface is let in, to be reset.
 */
SEC("socket")
int nid_listen(struct __sk_buff *skb)
{
	const __u32 *counter;
	__u32 sequence;
	__u8 flags;

	if (bpf_skb_load_bytes(skb, TCP_FLAGS, &flags, sizeof(flags)))
		return PACKET_DROPPED;
	if ((flags & (TCP_SYN | TCP_ACK)) != TCP_SYN || skb->ifindex == LOOPBACK_IFINDEX)
		return PACKET_WHOLE;
	if (bpf_skb_load_bytes(skb, TCP_SEQUENCE, &sequence, sizeof(sequence)))
		return PACKET_DROPPED;
	counter = announcement(bpf_ntohl(sequence));
	if (counter && *counter)
		return PACKET_WHOLE;
	nid_count(NID_STAT_DROPPED_UNANNOUNCED);
	return PACKET_DROPPED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
