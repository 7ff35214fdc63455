// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops what pods' sockets send to protected addresses past the connect hooks:
 * raw sockets, UDP without connect(), connections that are older than the hooks,
 * source routes. Keeps redirected connections in their namespace, and holds those
 * back whose namespace has no listener yet.
 *
 * cgroup_skb/egress, at the kubepods root
 *
 * Runs for every packet that a pod's socket sends, and for no other socket's, often in
 * softirq context, where the current task is anybody. Who sends is therefore told by
 * the cgroup that the socket was made in. Packets to other addresses cost a look at
 * the socket's peer and one at their destination.
 */
#include <linux/bpf.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/destination.h"
#include "lib/maps.h"
#include "lib/note.h"
#include "lib/packet.h"
#include "lib/passed.h"
#include "lib/pods.h"
#include "lib/routes.h"
#include "lib/senders.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

#define AF_INET 2
#define AF_INET6 10
#define LOOPBACK_IFINDEX 1

#define EGRESS_DROPPED 0
#define EGRESS_ALLOWED 1

/* Constant from load to unload. */
const volatile struct nid_endpoints nid_endpoints = {};
/* Ports that the agent may listen at, in host order. */
const volatile __u16 nid_first_port = 0;
const volatile __u16 nid_last_port = 0;

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

/* Whether a packet goes by way of a protected address. Global functions: the verifier
 * follows each once, and not with all that may come before it.
 */
__noinline bool nid_options_of(struct __sk_buff *skb, __u32 header_words)
{
	return nid_options_lead_on(&nid_endpoints, header_words, read_bytes, skb);
}

__noinline bool nid_extensions_of(struct __sk_buff *skb, __u8 protocol)
{
	return nid_extensions_lead_on(&nid_endpoints, protocol, sizeof(struct ipv6hdr), read_bytes,
				      skb);
}

/* The kernel builds IP headers in the linear part: what has none there has none. */
static __always_inline enum aim parse4(struct __sk_buff *skb, struct nid_packet *packet)
{
	struct iphdr *header = (void *)(long)skb->data;

	if ((void *)(header + 1) > (void *)(long)skb->data_end)
		return AIM_ELSEWHERE;
	nid_read_header4(packet, header);
	if (header->ihl > NID_WORDS4 && nid_options_of(skb, header->ihl))
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
	if (nid_is_extension(packet->protocol) && nid_extensions_of(skb, packet->protocol))
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

/* Whether a socket's peer is one that the connect hooks may have given it. The packet's
 * own destination may have changed on its way here.
 */
static __always_inline bool is_led_to_loopback(struct bpf_sock *socket)
{
	__u16 port = bpf_ntohs(socket->dst_port);

	if (port < nid_first_port || port > nid_last_port)
		return false;
	if (socket->dst_ip4 == NID_LOOPBACK4)
		return true;
	return socket->family == AF_INET6 && socket->dst_ip6[3] == NID_LOOPBACK6_LAST &&
	       !(socket->dst_ip6[0] | socket->dst_ip6[1] | socket->dst_ip6[2]);
}

/* Whether a server listens where a held SYN goes: not the agent. */
static __always_inline bool is_taken(struct __sk_buff *skb, struct bpf_sock *socket)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *other;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		tuple.ipv4.saddr = socket->src_ip4;
		tuple.ipv4.sport = bpf_htons(socket->src_port);
		tuple.ipv4.daddr = NID_LOOPBACK4;
		tuple.ipv4.dport = socket->dst_port;
		other = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		for (int i = 0; i < 4; i++)
			tuple.ipv6.saddr[i] = socket->src_ip6[i];
		tuple.ipv6.sport = bpf_htons(socket->src_port);
		tuple.ipv6.daddr[3] = NID_LOOPBACK6_LAST;
		tuple.ipv6.dport = socket->dst_port;
		other = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!other)
		return false;
	bpf_sk_release(other);
	return true;
}

/* No listener comes, or at another port: the kernel refuses what no socket listens for. */
static __always_inline int expire(struct __sk_buff *skb, struct bpf_sock *socket)
{
	if (is_taken(skb, socket)) {
		nid_count(NID_STAT_HELD_DROPPED);
		return EGRESS_DROPPED;
	}
	nid_count(NID_STAT_HELD_EXPIRED);
	return EGRESS_ALLOWED;
}

/* The verdict on the SYN of a connection that began before there was a listener. */
static __always_inline int hold(struct __sk_buff *skb, struct bpf_sock *socket,
				struct nid_note *note)
{
	const struct nid_listener *listener = nid_listener_of(note->tag.netns_cookie);

	if (listener) {
		if (listener->state != NID_LISTENER_OPEN ||
		    listener->port != bpf_ntohs(socket->dst_port))
			return expire(skb, socket);
		note->held_since = 0;
		return EGRESS_ALLOWED;
	}
	if (bpf_ktime_get_ns() - note->held_since > NID_HOLD_NS)
		return expire(skb, socket);
	nid_count(NID_STAT_HELD_DROPPED);
	nid_report_note(note, NID_NAMESPACE_HELD);
	return EGRESS_DROPPED;
}

/* The verdict on a packet of a redirected socket. */
static __always_inline int judge_redirected(struct __sk_buff *skb, struct bpf_sock *socket,
					    struct nid_note *note)
{
	if (skb->ifindex != LOOPBACK_IFINDEX) {
		nid_count(NID_STAT_DROPPED_OFF_LOOPBACK);
		return EGRESS_DROPPED;
	}
	if (note->held_since && socket->state == BPF_TCP_SYN_SENT)
		return hold(skb, socket, note);
	return EGRESS_ALLOWED;
}

/* The verdict on a packet to a protected address. */
static __always_inline int judge_protected(struct __sk_buff *skb, const struct nid_packet *packet,
					   enum aim aim)
{
	const struct nid_settings *settings = nid_settings_of_node();
	__u16 ports[2] = {};
	bool is_pods;

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
	bpf_skb_load_bytes(skb, packet->header_bytes, ports, sizeof(ports));
	if (nid_may_leave(&nid_endpoints, &packet->destination, packet->protocol,
			  packet->is_fragment, bpf_ntohs(ports[1])))
		return EGRESS_ALLOWED;
	if (!is_pods) {
		nid_count(NID_STAT_REFUSED_OTHER_TREE);
		return EGRESS_DROPPED;
	}
	if (nid_policy_of(nid_sending_pod(skb, settings)) == NID_POLICY_PASSTHROUGH) {
		struct nid_flow flow = nid_flow_of(packet, ports);

		nid_let_pass(&flow);
		return EGRESS_ALLOWED;
	}
	nid_count(NID_STAT_DROPPED_EGRESS);
	return EGRESS_DROPPED;
}

SEC("cgroup_skb/egress")
int nid_egress(struct __sk_buff *skb)
{
	struct bpf_sock *socket = skb->sk;
	struct nid_packet packet = {};
	struct nid_note *note;
	enum aim aim;

	if (socket && is_led_to_loopback(socket)) {
		socket = bpf_sk_fullsock(socket);
		note = socket ? bpf_sk_storage_get(&nid_notes, socket, NULL, 0) : NULL;
		if (note)
			return judge_redirected(skb, socket, note);
	}
	aim = parse(skb, &packet);
	return aim == AIM_ELSEWHERE ? EGRESS_ALLOWED : judge_protected(skb, &packet, aim);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
