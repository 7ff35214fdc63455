/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How a tag travels from the connecting to the accepting side of one
 * connection. No helpers and no maps: see destination.h.
 */
#ifndef PODIDENTD_HANDOVER_H
#define PODIDENTD_HANDOVER_H

#include <stdbool.h>
#include "podidentd_abi.h"

/* At both established callbacks neither side has sent or received a byte of
 * data, so each counter is one past the initial sequence number: the SYN's own.
 */
static __always_inline struct nid_key nid_client_key(__u32 snd_una, __u32 rcv_nxt)
{
	struct nid_key key = { .client_isn = snd_una - 1, .server_isn = rcv_nxt - 1 };

	return key;
}

static __always_inline struct nid_key nid_server_key(__u32 snd_una, __u32 rcv_nxt)
{
	struct nid_key key = { .client_isn = rcv_nxt - 1, .server_isn = snd_una - 1 };

	return key;
}

static __always_inline __u64 nid_mix(__u64 sum, __u64 word)
{
	sum ^= word;
	sum *= 0x9e3779b97f4a7c15ULL;
	return sum ^ (sum >> 29);
}

/* Detects a copy made of two entries. Not a defence against an adversary, who
 * chooses none of these words: cgroup IDs and cookies are the kernel's.
 */
static __always_inline __u64 nid_seal(const struct nid_tag *tag, const struct nid_key *key)
{
	__u64 sum = ((__u64)key->client_isn << 32) | key->server_isn;

	for (int i = 0; i < NID_ANCESTORS; i++)
		sum = nid_mix(sum, tag->ancestors[i]);
	sum = nid_mix(sum, tag->leaf);
	sum = nid_mix(sum, tag->pod);
	sum = nid_mix(sum, tag->netns_cookie);
	sum = nid_mix(sum, tag->socket_cookie);
	sum = nid_mix(sum, ((__u64)tag->destination.word[0] << 32) | tag->destination.word[1]);
	sum = nid_mix(sum, ((__u64)tag->destination.word[2] << 32) | tag->destination.word[3]);
	return nid_mix(sum, ((__u64)tag->destination_port << 16) | ((__u64)tag->family << 8));
}

enum nid_outcome {
	NID_OUTCOME_TAGGED = 0,
	NID_OUTCOME_VOIDED = 1,
	NID_OUTCOME_TORN = 2,
};

/* What the accepting side makes of its copy. */
static __always_inline enum nid_outcome nid_judge_handover(const struct nid_handover *copy,
							   const struct nid_key *key)
{
	if (copy->voided)
		return NID_OUTCOME_VOIDED;
	if (copy->seal != nid_seal(&copy->tag, key))
		return NID_OUTCOME_TORN;
	return NID_OUTCOME_TAGGED;
}

#endif
