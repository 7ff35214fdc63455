// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops frames to protected addresses that pods in the node's network namespace
 * (hostNetwork) write to its interfaces themselves: AF_PACKET passes neither
 * socket hooks nor netfilter.
 *
 * tcx egress of the node's interfaces (Linux 6.6)
 *
 * A frame has the socket that it was written with, and that the cgroup that it was
 * made in. Everything is read from the frame: what the kernel says of its protocol
 * is what its writer said.
 *
 * Two ways out do not come by here: PACKET_QDISC_BYPASS and AF_XDP.
 *
 * In an object of its own, because older kernels cannot attach it.
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
#include "lib/routes.h"
#include "lib/senders.h"

#define ETH_HLEN 14
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define VLAN_TAGS_MAX 2

#define TCX_NEXT -1
#define TCX_DROP 2

/* Constant from load to unload. */
const volatile struct nid_endpoints nid_endpoints = {};

/* A frame, and where the IP header begins in it. */
struct frame {
	struct __sk_buff *skb;
	__u32 start;
};

static __always_inline bool read_bytes(void *packet, __u32 offset, void *to, __u32 size)
{
	const struct frame *frame = packet;

	return !bpf_skb_load_bytes(frame->skb, frame->start + offset, to, size);
}

/* Whether the frame's packet goes, at once or later, to a protected address. */
static __always_inline bool parse4(struct frame *frame, struct nid_packet *packet, bool *is_routed)
{
	struct iphdr header;

	if (!read_bytes(frame, 0, &header, sizeof(header)))
		return false;
	*is_routed = header.ihl > NID_WORDS4 &&
		     nid_options_lead_on(&nid_endpoints, header.ihl, read_bytes, frame);
	if (!*is_routed && !nid_may_be_protected(&nid_endpoints, header.daddr))
		return false;
	nid_read_header4(packet, &header);
	return *is_routed || nid_is_protected(&nid_endpoints, &packet->destination);
}

static __always_inline bool parse6(struct frame *frame, struct nid_packet *packet, bool *is_routed)
{
	struct ipv6hdr header;

	if (!read_bytes(frame, 0, &header, sizeof(header)))
		return false;
	*is_routed = nid_is_extension(header.nexthdr) &&
		     nid_extensions_lead_on(&nid_endpoints, header.nexthdr, sizeof(header),
					    read_bytes, frame);
	if (!*is_routed &&
	    !nid_may_be_protected(&nid_endpoints, header.daddr.in6_u.u6_addr32[3]))
		return false;
	nid_read_header6(packet, &header);
	return *is_routed || nid_is_protected(&nid_endpoints, &packet->destination);
}

/* The frame's owner decides only where it goes to a place that pods must not reach. */
static __always_inline int judge(struct frame *frame, __u16 protocol)
{
	const struct nid_settings *settings;
	struct nid_packet packet = {};
	bool is_routed = false;
	__u16 ports[2] = {};
	bool is_pods;

	if (protocol == bpf_htons(ETH_P_IP)) {
		if (!parse4(frame, &packet, &is_routed))
			return TCX_NEXT;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		if (!parse6(frame, &packet, &is_routed))
			return TCX_NEXT;
	} else {
		return TCX_NEXT;
	}
	settings = nid_settings_of_node();
	if (!settings)
		return TCX_NEXT;
	is_pods = nid_is_sent_by_pod(frame->skb, settings);
	if (!is_pods && !nid_is_sent_from_other_tree(frame->skb, settings))
		return TCX_NEXT;
	read_bytes(frame, packet.header_bytes, ports, sizeof(ports));
	if (!is_routed && nid_may_leave(&nid_endpoints, &packet.destination, packet.protocol,
					packet.is_fragment, bpf_ntohs(ports[1])))
		return TCX_NEXT;
	if (!is_routed && is_pods &&
	    nid_policy_of(nid_sending_pod(frame->skb, settings)) == NID_POLICY_PASSTHROUGH)
		return TCX_NEXT;
	nid_count(NID_STAT_DROPPED_UPLINK);
	return TCX_DROP;
}

/* Whether a frame goes to an address that is not protected, as nearly all do, by
 * one look at it: the rest reads on.
 */
static __always_inline bool is_plainly_elsewhere(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	const __u16 *protocol = data + ETH_HLEN - sizeof(*protocol);
	const struct iphdr *header4 = data + ETH_HLEN;
	const struct ipv6hdr *header6 = data + ETH_HLEN;

	if ((void *)(header6 + 1) > (void *)(long)skb->data_end)
		return false;
	if (*protocol == bpf_htons(ETH_P_IP))
		return header4->ihl == NID_WORDS4 &&
		       !nid_may_be_protected(&nid_endpoints, header4->daddr);
	return *protocol == bpf_htons(ETH_P_IPV6) && !nid_is_extension(header6->nexthdr) &&
	       !nid_may_be_protected(&nid_endpoints, header6->daddr.in6_u.u6_addr32[3]);
}

/* Interfaces with an Ethernet header, which may have VLAN tags. */
SEC("tc")
int nid_uplink(struct __sk_buff *skb)
{
	struct frame frame = { .skb = skb, .start = ETH_HLEN };
	__u16 protocol;

	if (is_plainly_elsewhere(skb))
		return TCX_NEXT;
	for (int i = 0; i <= VLAN_TAGS_MAX; i++) {
		if (bpf_skb_load_bytes(skb, frame.start - sizeof(protocol), &protocol,
				       sizeof(protocol)))
			return TCX_NEXT;
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		frame.start += 4;
	}
	return judge(&frame, protocol);
}

/* Interfaces whose frames begin with the IP header. */
SEC("tc")
int nid_uplink_ip(struct __sk_buff *skb)
{
	struct frame frame = { .skb = skb, .start = 0 };
	__u8 version;

	if (bpf_skb_load_bytes(skb, 0, &version, sizeof(version)))
		return TCX_NEXT;
	return judge(&frame, version >> 4 == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
