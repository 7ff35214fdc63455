/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How the packets of pods with the policy `passthrough` get past the forward
 * guard, which sees no cgroup: the egress guard, which does, leaves a note of
 * each flow for as long as a packet can take from one to the other.
 *
 * A pod that sends with such a flow's address and port within that time gets
 * past as well. The answers go to the flow's own pod: a pod that receives them
 * could have read the flow itself.
 */
#ifndef PODIDENTD_PASSED_H
#define PODIDENTD_PASSED_H

#include "lib/maps.h"
#include "lib/packet.h"

static __always_inline __u64 nid_mix(__u64 sum, __u64 word)
{
	sum ^= word;
	sum *= 0x9e3779b97f4a7c15ULL;
	return sum ^ (sum >> 29);
}

static __always_inline struct nid_flow nid_flow_of(const struct nid_packet *packet,
						   const __u16 ports[2])
{
	struct nid_flow flow = {
		.source = packet->source,
		.destination = packet->destination,
		.source_port = ports[0],
		.destination_port = ports[1],
		.protocol = packet->protocol,
	};

	return flow;
}

static __always_inline struct nid_passed *nid_passed_slot(const struct nid_flow *flow)
{
	__u64 sum = ((__u64)flow->source_port << 16) | flow->destination_port;
	__u32 index;

	for (int i = 0; i < 4; i++)
		sum = nid_mix(sum, flow->source.word[i]);
	index = sum & (NID_PASSED_FLOWS - 1);
	return bpf_map_lookup_elem(&nid_passed, &index);
}

static __always_inline void nid_let_pass(const struct nid_flow *flow)
{
	struct nid_passed *slot = nid_passed_slot(flow);

	if (!slot)
		return;
	slot->flow = *flow;
	slot->until = bpf_ktime_get_ns() + NID_PASSED_NS;
}

static __always_inline bool nid_is_let_pass(const struct nid_flow *flow)
{
	const struct nid_passed *slot = nid_passed_slot(flow);

	return slot && slot->until > bpf_ktime_get_ns() &&
	       nid_same_address(&slot->flow.source, &flow->source) &&
	       nid_same_address(&slot->flow.destination, &flow->destination) &&
	       slot->flow.source_port == flow->source_port &&
	       slot->flow.destination_port == flow->destination_port &&
	       slot->flow.protocol == flow->protocol;
}

#endif
