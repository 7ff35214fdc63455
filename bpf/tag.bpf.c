// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Hands the caller's tag from the connecting to the accepting socket.
 *
 * sockops ACTIVE_ESTABLISHED_CB   the redirected client claims its connection,
 *                                 before its last ACK of the handshake leaves
 * sockops PASSIVE_ESTABLISHED_CB  the agent's new socket takes the tag over,
 *                                 before accept() can return it
 * sockops STATE_CB                a client that closes takes its claim back
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "lib/handover.h"
#include "lib/maps.h"

#define EEXIST 17

/* Host order. Constant from load to unload. */
const volatile __u32 nid_listen_port = 0;

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
	error = bpf_map_update_elem(&nid_handovers, &note->key, &handover, BPF_NOEXIST);
	if (!error) {
		note->claimed = 1;
		bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
						       BPF_SOCK_OPS_STATE_CB_FLAG);
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
	switch (nid_judge_handover(&copy, &key)) {
	case NID_OUTCOME_TAGGED:
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

	if (!ctx->sk || ctx->args[1] != BPF_TCP_CLOSE)
		return;
	note = bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, 0);
	if (!note || !note->claimed)
		return;
	note->claimed = 0;
	handover = bpf_map_lookup_elem(&nid_handovers, &note->key);
	if (!handover || handover->tag.socket_cookie != note->tag.socket_cookie)
		return;
	if (!bpf_map_delete_elem(&nid_handovers, &note->key))
		nid_count(NID_STAT_WITHDRAWN);
}

SEC("sockops")
int nid_sockops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
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
