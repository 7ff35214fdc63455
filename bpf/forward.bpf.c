// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Drops packets to protected addresses that reach the node's network namespace
 * from an interface: from pods that write whole frames (AF_PACKET), from
 * sandboxes whose sockets this kernel never saw (gVisor, Kata), from tunnels.
 *
 * netfilter, PRE_ROUTING, IPv4 and IPv6 (Linux 6.4)
 *
 * Nobody on this side of an interface but pods and neighbours sends here: the
 * node's own processes do not pass PRE_ROUTING on their way out, and those that
 * the node serves itself arrive from the loopback interface.
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

#define AF_INET 2
#define IFF_LOOPBACK 0x8

#define NF_DROP 0
#define NF_ACCEPT 1

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *result) __ksym;

/* Constant from load to unload. */
const volatile struct nid_endpoint nid_endpoints[NID_ENDPOINTS_MAX] = {};
const volatile __u32 nid_endpoint_count = 0;

static __always_inline bool parse(struct bpf_dynptr *bytes, bool is_ipv4, struct nid_packet *packet)
{
	if (is_ipv4) {
		struct iphdr header;

		if (bpf_dynptr_read(&header, sizeof(header), bytes, 0, 0))
			return false;
		nid_read_header4(packet, &header);
	} else {
		struct ipv6hdr header;

		if (bpf_dynptr_read(&header, sizeof(header), bytes, 0, 0))
			return false;
		nid_read_header6(packet, &header);
	}
	return nid_is_protected(nid_endpoints, nid_endpoint_count, &packet->destination);
}

SEC("netfilter")
int nid_forward(struct bpf_nf_ctx *ctx)
{
	struct nid_packet packet = {};
	struct nid_flow flow;
	struct bpf_dynptr bytes;
	__u16 ports[2] = {};

	if (bpf_dynptr_from_skb((struct __sk_buff *)ctx->skb, 0, &bytes))
		return NF_ACCEPT;
	if (!parse(&bytes, ctx->state->pf == AF_INET, &packet))
		return NF_ACCEPT;
	if (ctx->state->in->flags & IFF_LOOPBACK)
		return NF_ACCEPT;
	/* Ports that are not there are port 0, which is not open. */
	bpf_dynptr_read(ports, sizeof(ports), &bytes, packet.header_bytes, 0);
	if (nid_may_leave(nid_endpoints, nid_endpoint_count, &packet.destination, packet.protocol,
			  packet.is_fragment, bpf_ntohs(ports[1])))
		return NF_ACCEPT;
	flow = nid_flow_of(&packet, ports);
	if (nid_is_let_pass(&flow))
		return NF_ACCEPT;
	nid_count(NID_STAT_DROPPED_FORWARD);
	return NF_DROP;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
