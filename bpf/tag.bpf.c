// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Hands the caller's tag from the connecting to the accepting socket.
 *
 * sockops TCP_CONNECT_CB          the redirected client is about to send its SYN:
 *                                 one more of its pod's connections
 * sockops ACTIVE_ESTABLISHED_CB   the redirected client claims its connection,
 *                                 before its last ACK of the handshake leaves
 * sockops PASSIVE_ESTABLISHED_CB  the agent's new socket takes the tag over,
 *                                 before accept() can return it
 * sockops STATE_CB                a client that closes takes its claim back; the
 *                                 connection ends with the agent's socket, or
 *                                 with the client's if there is none
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "lib/handover.h"
#include "lib/maps.h"
#include "lib/pods.h"

#define EEXIST 17

/* Host order. Constant from load to unload. */
const volatile __u32 nid_listen_port = 0;

/* Counted here and not in the connect hook: from here on the socket's close is
 * certain to be seen. As many connects as there are CPUs may pass the limit at
 * the same time.
 */
static __always_inline void begin(struct bpf_sock_ops *ctx)
{
	struct nid_note *note;

	if (!ctx->sk)
		return;
	note = bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, 0);
	if (!note || note->counted)
		return;
	if (bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG))
		return;
	note->counted = nid_add_connection(note->tag.pod);
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
	if (copy.counted && outcome != NID_OUTCOME_TORN &&
	    !bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
						    BPF_SOCK_OPS_STATE_CB_FLAG)) {
		tag->pod = copy.tag.pod;
		tag->counted = 1;
	} else if (copy.counted && outcome != NID_OUTCOME_TORN) {
		nid_subtract_connection(copy.tag.pod);
	}
	switch (outcome) {
	case NID_OUTCOME_TAGGED:
		copy.tag.counted = tag->counted;
		*tag = copy.tag;
		nid_count(NID_STAT_TAGGED);
		return;
	case NID_OUTCOME_VOIDED:
		nid_count(NID_STAT_VOIDED);
		return;
	case NID_OUTCOME_TORN:
		nid_count(NID_STAT_TORN);
		return;
	}
}

static __always_inline void withdraw(struct bpf_sock_ops *ctx)
{
	const struct nid_handover *handover;
	struct nid_note *note;
	struct nid_tag *tag;
	struct bpf_sock *sk = ctx->sk;
	__u32 counted;

	if (!sk || ctx->args[1] != BPF_TCP_CLOSE)
		return;
	tag = bpf_sk_storage_get(&nid_tags, sk, NULL, 0);
	if (tag) {
		if (tag->counted)
			nid_subtract_connection(tag->pod);
		tag->counted = 0;
		return;
	}
	note = bpf_sk_storage_get(&nid_notes, sk, NULL, 0);
	if (!note)
		return;
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

char LICENSE[] SEC("license") = "Dual BSD/GPL";
