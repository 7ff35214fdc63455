// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops what pods' sockets send to protected addresses past the connect hooks:
 * raw sockets, and connections that are older than the hooks.
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

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

#define EGRESS_DROPPED 0
#define EGRESS_ALLOWED 1

/* Constant from load to unload. */
const volatile struct nid_endpoint nid_endpoints[NID_ENDPOINTS_MAX] = {};
const volatile __u32 nid_endpoint_count = 0;

/* The packet's header, if it goes to a protected address. The kernel builds IP
 * headers in the linear part: what has none there has none.
 */
static __always_inline bool parse(struct __sk_buff *skb, struct nid_packet *packet)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *header = data;

		if ((void *)(header + 1) > end)
			return false;
		nid_read_header4(packet, header);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *header = data;

		if ((void *)(header + 1) > end)
			return false;
		nid_read_header6(packet, header);
	} else {
		return false;
	}
	return nid_is_protected(nid_endpoints, nid_endpoint_count, &packet->destination);
}

static __always_inline bool is_of_other_tree(struct __sk_buff *skb,
					     const struct nid_settings *settings)
{
	for (int i = 0; i < NID_OTHER_TREES; i++) {
		const struct nid_tree *tree = &settings->others[i];

		if (tree->id && nid_is_tree(tree, bpf_skb_ancestor_cgroup_id(skb, tree->level)))
			return true;
	}
	return false;
}

SEC("cgroup_skb/egress")
int nid_egress(struct __sk_buff *skb)
{
	const struct nid_settings *settings;
	struct nid_packet packet = {};
	__u16 ports[2] = {};
	bool is_pods;
	__u32 level;
	__u64 pod;

	if (!parse(skb, &packet))
		return EGRESS_ALLOWED;
	settings = nid_settings_of_node();
	if (!settings)
		return EGRESS_ALLOWED;
	level = settings->kubepods_level;
	is_pods = bpf_skb_ancestor_cgroup_id(skb, level) == settings->kubepods_id;
	if (!is_pods && !is_of_other_tree(skb, settings))
		return EGRESS_ALLOWED;
	/* Ports that are not there are port 0, which is not open. */
	bpf_skb_load_bytes(skb, packet.header_bytes, ports, sizeof(ports));
	if (nid_may_leave(nid_endpoints, nid_endpoint_count, &packet.destination, packet.protocol,
			  packet.is_fragment, bpf_ntohs(ports[1])))
		return EGRESS_ALLOWED;
	if (!is_pods) {
		nid_count(NID_STAT_REFUSED_OTHER_TREE);
		return EGRESS_DROPPED;
	}
	pod = nid_pod_among(settings, bpf_skb_ancestor_cgroup_id(skb, level + 1),
			    bpf_skb_ancestor_cgroup_id(skb, level + 2),
			    bpf_skb_ancestor_cgroup_id(skb, level + 3));
	if (nid_policy_of(pod) == NID_POLICY_PASSTHROUGH) {
		struct nid_flow flow = nid_flow_of(&packet, ports);

		nid_let_pass(&flow);
		return EGRESS_ALLOWED;
	}
	nid_count(NID_STAT_DROPPED_EGRESS);
	return EGRESS_DROPPED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
