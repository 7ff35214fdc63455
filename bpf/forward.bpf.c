// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops packets to protected addresses in the node's network namespace that reach
 * it from an interface. Pods write such frames (AF_PACKET), or sandboxes whose
 * sockets this kernel never saw (gVisor, Kata), or tunnels; or a Service of the
 * node turns a packet to such an address on the way.
 *
 * netfilter, PRE_ROUTING, FORWARD and LOCAL_IN, IPv4 and IPv6 (Linux 6.4)
 *
 * FORWARD and LOCAL_IN come after address translation. LOCAL_IN is for addresses
 * that the node has itself: it is attached where one of those is protected, because
 * every packet that a node receives pays for each place.
 *
 * Only pods and neighbours on the far side of an interface send here: the
 * node's own processes pass none of the three on their way out, and what the node
 * serves itself arrives from the loopback interface. That is accepted where it
 * arrives. Nothing of the node's own is forwarded, so that a frame which a process
 * wrote to the loopback interface is dropped there.
 *
 * In an object of its own, because older kernels cannot load it.
 */
#include <linux/bpf.h>
#include <linux/in6.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/destination.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/packet.h"
#include "lib/passed.h"
#include "lib/routes.h"

#define AF_INET 2
#define IFF_LOOPBACK 0x8

#define NF_DROP 0
#define NF_ACCEPT 1

#define NF_INET_PRE_ROUTING 0
#define NF_INET_FORWARD 2

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *result) __ksym;
/* No call: it tells the verifier what a pointer points to, and a load that faults is zero. */
extern void *bpf_rdonly_cast(const void *pointer, __u32 btf_id) __ksym;

/* Constant from load to unload. */
const volatile struct nid_endpoints nid_endpoints = {};

static __always_inline bool read_bytes(void *packet, __u32 offset, void *to, __u32 size)
{
	return !bpf_dynptr_read(to, size, packet, offset, 0);
}

static __always_inline int drop(enum nid_stat reason)
{
	nid_count(reason);
	return NF_DROP;
}

/* The verdict on a packet whose destination may be protected. */
static __always_inline int judge(struct bpf_dynptr *bytes, const struct nid_packet *packet,
				 __u8 hook)
{
	struct nid_flow flow;
	__u16 ports[2] = {};

	if (!nid_is_protected(&nid_endpoints, &packet->destination))
		return NF_ACCEPT;
	/* Ports that are not there are port 0, which is not open. */
	read_bytes(bytes, packet->header_bytes, ports, sizeof(ports));
	if (nid_may_leave(&nid_endpoints, &packet->destination, packet->protocol,
			  packet->is_fragment, bpf_ntohs(ports[1])))
		return NF_ACCEPT;
	flow = nid_flow_of(packet, ports);
	if (nid_is_let_pass(&flow))
		return NF_ACCEPT;
	return drop(hook == NF_INET_PRE_ROUTING ? NID_STAT_DROPPED_FORWARD :
						  NID_STAT_DROPPED_TRANSLATED);
}

static __always_inline int judge4(struct bpf_dynptr *bytes, __u8 hook)
{
	struct iphdr header;
	struct nid_packet packet;

	if (!read_bytes(bytes, 0, &header, sizeof(header)))
		return NF_ACCEPT;
	if (header.ihl > NID_WORDS4 &&
	    nid_options_lead_on(&nid_endpoints, header.ihl, read_bytes, bytes))
		return drop(NID_STAT_DROPPED_ROUTED);
	if (!nid_may_be_protected(&nid_endpoints, header.daddr))
		return NF_ACCEPT;
	nid_read_header4(&packet, &header);
	return judge(bytes, &packet, hook);
}

static __always_inline int judge6(struct bpf_dynptr *bytes, __u8 hook)
{
	struct ipv6hdr header;
	struct nid_packet packet;

	if (!read_bytes(bytes, 0, &header, sizeof(header)))
		return NF_ACCEPT;
	if (nid_is_extension(header.nexthdr) &&
	    nid_extensions_lead_on(&nid_endpoints, header.nexthdr, sizeof(header), read_bytes,
				   bytes))
		return drop(NID_STAT_DROPPED_ROUTED);
	if (!nid_may_be_protected(&nid_endpoints, header.daddr.in6_u.u6_addr32[3]))
		return NF_ACCEPT;
	nid_read_header6(&packet, &header);
	return judge(bytes, &packet, hook);
}

/* Whether a packet goes to an address that is not protected, as nearly all do, by one
 * look at its destination: the rest reads on. The kernel has its header in one piece.
 */
static __always_inline bool is_plainly_elsewhere(const struct sk_buff *skb, __u8 family)
{
	const struct ipv6hdr *header6;
	const struct iphdr *header4;

	if (family == AF_INET) {
		header4 = bpf_rdonly_cast(skb->data, bpf_core_type_id_kernel(struct iphdr));
		return header4->ihl == NID_WORDS4 &&
		       !nid_may_be_protected(&nid_endpoints, header4->daddr);
	}
	header6 = bpf_rdonly_cast(skb->data, bpf_core_type_id_kernel(struct ipv6hdr));
	return !nid_is_extension(header6->nexthdr) &&
	       !nid_may_be_protected(&nid_endpoints, header6->daddr.in6_u.u6_addr32[3]);
}

static __always_inline int judge_whole(struct bpf_nf_ctx *ctx, const struct nf_hook_state *state)
{
	struct bpf_dynptr bytes;

	if (bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &bytes))
		return NF_ACCEPT;
	return state->pf == AF_INET ? judge4(&bytes, state->hook) : judge6(&bytes, state->hook);
}

SEC("netfilter")
int nid_forward(struct bpf_nf_ctx *ctx)
{
	const struct nf_hook_state *state = ctx->state;

	if (state->in->flags & IFF_LOOPBACK && state->hook != NF_INET_FORWARD)
		return NF_ACCEPT;
	if (is_plainly_elsewhere(ctx->skb, state->pf))
		return NF_ACCEPT;
	return judge_whole(ctx, state);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
