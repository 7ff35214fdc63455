// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops what pods' sockets send to protected addresses past the connect hooks:
 * raw sockets, connections that are older than the hooks, source routes.
 *
 * cgroup_skb/egress
 *
 * Runs for every packet that a socket of this machine sends, often in softirq
 * context, where the current task is anybody. Who sends is therefore told by the
 * cgroup that the socket was made in. Packets to other addresses cost the
 * comparison of their destination with the few protected ones.
 */
#include <linux/bpf.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/destination.h"
#include "lib/maps.h"
#include "lib/packet.h"
#include "lib/passed.h"
#include "lib/pods.h"
#include "lib/routes.h"
#include "lib/senders.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

#define EGRESS_DROPPED 0
#define EGRESS_ALLOWED 1

/* Constant from load to unload. */
const volatile struct nid_endpoints nid_endpoints = {};

enum aim {
	/* At an address that is not protected. */
	AIM_ELSEWHERE,
	AIM_PROTECTED,
	/* At a protected one by way of others. */
	AIM_ROUTED,
};

static __always_inline bool read_bytes(void *packet, __u32 offset, void *to, __u32 size)
{
	return !bpf_skb_load_bytes(packet, offset, to, size);
}

/* The kernel builds IP headers in the linear part: what has none there has none. */
static __always_inline enum aim parse4(struct __sk_buff *skb, struct nid_packet *packet)
{
	struct iphdr *header = (void *)(long)skb->data;

	if ((void *)(header + 1) > (void *)(long)skb->data_end)
		return AIM_ELSEWHERE;
	nid_read_header4(packet, header);
	if (header->ihl > NID_WORDS4 &&
	    nid_options_lead_on(&nid_endpoints, header->ihl, read_bytes, skb))
		return AIM_ROUTED;
	return nid_is_protected(&nid_endpoints, &packet->destination) ? AIM_PROTECTED :
									AIM_ELSEWHERE;
}

static __always_inline enum aim parse6(struct __sk_buff *skb, struct nid_packet *packet)
{
	struct ipv6hdr *header = (void *)(long)skb->data;

	if ((void *)(header + 1) > (void *)(long)skb->data_end)
		return AIM_ELSEWHERE;
	nid_read_header6(packet, header);
	if (nid_is_extension(packet->protocol) &&
	    nid_extensions_lead_on(&nid_endpoints, packet->protocol, sizeof(*header), read_bytes,
				   skb))
		return AIM_ROUTED;
	return nid_is_protected(&nid_endpoints, &packet->destination) ? AIM_PROTECTED :
									AIM_ELSEWHERE;
}

static __always_inline enum aim parse(struct __sk_buff *skb, struct nid_packet *packet)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parse4(skb, packet);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return parse6(skb, packet);
	return AIM_ELSEWHERE;
}

SEC("cgroup_skb/egress")
int nid_egress(struct __sk_buff *skb)
{
	const struct nid_settings *settings;
	struct nid_packet packet = {};
	__u16 ports[2] = {};
	enum aim aim;
	bool is_pods;

	aim = parse(skb, &packet);
	if (aim == AIM_ELSEWHERE)
		return EGRESS_ALLOWED;
	settings = nid_settings_of_node();
	if (!settings)
		return EGRESS_ALLOWED;
	is_pods = nid_is_sent_by_pod(skb, settings);
	if (!is_pods && !nid_is_sent_from_other_tree(skb, settings))
		return EGRESS_ALLOWED;
	if (aim == AIM_ROUTED) {
		nid_count(NID_STAT_DROPPED_ROUTED);
		return EGRESS_DROPPED;
	}
	/* Ports that are not there are port 0, which is not open. */
	bpf_skb_load_bytes(skb, packet.header_bytes, ports, sizeof(ports));
	if (nid_may_leave(&nid_endpoints, &packet.destination, packet.protocol,
			  packet.is_fragment, bpf_ntohs(ports[1])))
		return EGRESS_ALLOWED;
	if (!is_pods) {
		nid_count(NID_STAT_REFUSED_OTHER_TREE);
		return EGRESS_DROPPED;
	}
	if (nid_policy_of(nid_sending_pod(skb, settings)) == NID_POLICY_PASSTHROUGH) {
		struct nid_flow flow = nid_flow_of(&packet, ports);

		nid_let_pass(&flow);
		return EGRESS_ALLOWED;
	}
	nid_count(NID_STAT_DROPPED_EGRESS);
	return EGRESS_DROPPED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
