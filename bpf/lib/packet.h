/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The parts of a packet that the guards need. */
#ifndef PODIDENTD_PACKET_H
#define PODIDENTD_PACKET_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>
#include "lib/destination.h"

#define NID_FRAGMENT_MASK __builtin_bswap16(0x3fff)

struct nid_packet {
	struct nid_address source;
	struct nid_address destination;
	/* The length of the IP header, with IPv4's options and without IPv6's extensions. */
	__u32 header_bytes;
	__u8 protocol;
	/* First, middle or last of several. IPv6 says so in an extension header,
	 * whose protocol number is not one that may leave.
	 */
	bool is_fragment;
};

static __always_inline void nid_read_header4(struct nid_packet *packet, const struct iphdr *header)
{
	packet->source = nid_mapped(header->saddr);
	packet->destination = nid_mapped(header->daddr);
	packet->header_bytes = header->ihl * 4;
	packet->protocol = header->protocol;
	packet->is_fragment = header->frag_off & NID_FRAGMENT_MASK;
}

static __always_inline void nid_read_header6(struct nid_packet *packet,
					     const struct ipv6hdr *header)
{
	for (int i = 0; i < 4; i++) {
		packet->source.word[i] = header->saddr.in6_u.u6_addr32[i];
		packet->destination.word[i] = header->daddr.in6_u.u6_addr32[i];
	}
	packet->header_bytes = sizeof(*header);
	packet->protocol = header->nexthdr;
	packet->is_fragment = false;
}

#endif
