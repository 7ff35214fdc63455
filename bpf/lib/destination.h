/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where pods' connections and packets may go. No helpers and no maps, so that the decision
 * also runs under BPF_PROG_TEST_RUN, which the kernel refuses for sock_addr
 * programs.
 */
#ifndef PODIDENTD_DESTINATION_H
#define PODIDENTD_DESTINATION_H

#include <stdbool.h>
#include "podidentd_abi.h"

#define NID_PORT_DNS 53
#define NID_PORT_HTTP 80
#define NID_PORT_NTP 123

#define NID_PROTOCOL_ICMP 1
#define NID_PROTOCOL_TCP 6
#define NID_PROTOCOL_UDP 17
#define NID_PROTOCOL_ICMPV6 58

/* Second half of the prefix ::ffff:0:0/96, in network order. */
#define NID_MAPPED_PREFIX __builtin_bswap32(0x0000ffff)
/* 127.0.0.1 and the last quarter of ::1, in network order. */
#define NID_LOOPBACK4 __builtin_bswap32(0x7f000001)
#define NID_LOOPBACK6_LAST __builtin_bswap32(0x00000001)
/* First quarter of the prefix 64:ff9b::/96, in network order. */
#define NID_TRANSLATED_PREFIX __builtin_bswap32(0x0064ff9b)

enum nid_verdict {
	/* Not a protected address, or a service on it that is no metadata. */
	NID_PASS = 0,
	/* To the agent. */
	NID_REDIRECT = 1,
	/* A protected address at a port no rule vouches for. */
	NID_REFUSE = 2,
};

static __always_inline struct nid_address nid_mapped(__u32 ip4)
{
	struct nid_address address = { .word = { 0, 0, NID_MAPPED_PREFIX, ip4 } };

	return address;
}

/* One comparison and not four: the verifier follows every branch of a program,
 * as often as there are endpoints.
 */
static __always_inline bool nid_same_address(const volatile struct nid_address *a,
					     const struct nid_address *b)
{
	return !((a->word[3] ^ b->word[3]) | (a->word[2] ^ b->word[2]) |
		 (a->word[1] ^ b->word[1]) | (a->word[0] ^ b->word[0]));
}

static __always_inline bool nid_is_mapped(const struct nid_address *address)
{
	return !(address->word[0] | address->word[1] | (address->word[2] ^ NID_MAPPED_PREFIX));
}

/* RFC 6052's 64:ff9b::/96 is IPv4 in disguise: a translator takes it off. */
static __always_inline bool nid_is_translated(const struct nid_address *address)
{
	return address->word[0] == NID_TRANSLATED_PREFIX && !address->word[1] && !address->word[2];
}

/* The address without its disguise. */
static __always_inline struct nid_address nid_bare(const struct nid_address *address)
{
	return nid_is_translated(address) ? nid_mapped(address->word[3]) : *address;
}

/* Whether an address may be protected, by its last word alone. */
static __always_inline bool nid_may_be_protected(const volatile struct nid_endpoints *endpoints,
						 __u32 last_word)
{
	__u32 bit = nid_filter_bit(last_word);

	return endpoints->filter[bit / 32] & (1U << (bit % 32));
}

static __always_inline bool nid_is_protected(const volatile struct nid_endpoints *endpoints,
					     const struct nid_address *destination)
{
	struct nid_address bare;

	if (!nid_may_be_protected(endpoints, destination->word[3]))
		return false;
	bare = nid_bare(destination);
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < NID_ENDPOINTS_MAX; i++) {
		if (i >= endpoints->count)
			break;
		if (nid_same_address(&endpoints->entries[i].address, &bare))
			return true;
	}
	return false;
}

/* The verdict on a port of an endpoint that covers all ports. What is not known
 * to be harmless is refused: 443 and 8080 are metadata servers too on some
 * machines.
 */
static __always_inline enum nid_verdict nid_judge_port(__u16 port, bool is_stream)
{
	if (port == NID_PORT_HTTP && is_stream)
		return NID_REDIRECT;
	if (port == NID_PORT_DNS || (port == NID_PORT_NTP && !is_stream))
		return NID_PASS;
	return NID_REFUSE;
}

/* The verdict on a destination: that of the first endpoint that covers it. */
static __always_inline enum nid_verdict nid_judge(const volatile struct nid_endpoints *endpoints,
						  const struct nid_address *destination,
						  __u16 port, bool is_stream)
{
	struct nid_address bare = nid_bare(destination);

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < NID_ENDPOINTS_MAX; i++) {
		const volatile struct nid_endpoint *endpoint = &endpoints->entries[i];
		enum nid_verdict verdict;

		if (i >= endpoints->count)
			break;
		if (!nid_same_address(&endpoint->address, &bare))
			continue;
		if (endpoint->port && endpoint->port != port)
			continue;
		if (!endpoint->port)
			verdict = nid_judge_port(port, is_stream);
		else if (endpoint->action == NID_ACTION_REDIRECT && is_stream)
			verdict = NID_REDIRECT;
		else
			verdict = NID_REFUSE;
		/* Through a translator there is no way to the agent. */
		if (verdict == NID_REDIRECT && (endpoint->action != NID_ACTION_REDIRECT ||
						nid_is_translated(destination)))
			return NID_REFUSE;
		return verdict;
	}
	return NID_PASS;
}

/* Whether a packet to a protected address may go where it is addressed. Nothing
 * that the connect hooks redirected is so addressed, so only what they let
 * pass is let pass here.
 *
 * ICMP is harmless, and path MTU discovery and neighbour discovery need it. A
 * fragment may hide its port, and neither DNS nor NTP to these addresses is ever
 * so long; other protocols, extension headers and tunnels have no business there.
 */
static __always_inline bool nid_may_leave(const volatile struct nid_endpoints *endpoints,
					  const struct nid_address *destination, __u8 protocol,
					  bool is_fragment, __u16 port)
{
	if (protocol == NID_PROTOCOL_ICMP || protocol == NID_PROTOCOL_ICMPV6)
		return true;
	if (is_fragment || (protocol != NID_PROTOCOL_TCP && protocol != NID_PROTOCOL_UDP))
		return false;
	return nid_judge(endpoints, destination, port, protocol == NID_PROTOCOL_TCP) == NID_PASS;
}

#endif
