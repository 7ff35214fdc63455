/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where a pod's connect() may go. No helpers and no maps, so that the decision
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

/* Second half of the prefix ::ffff:0:0/96, in network order. */
#define NID_MAPPED_PREFIX __builtin_bswap32(0x0000ffff)

enum nid_verdict {
	/* Not a protected address, or a service on it that is no metadata. */
	NID_PASS = 0,
	/* To the agent. */
	NID_REDIRECT = 1,
	/* A protected address at a port nobody vouches for. */
	NID_REFUSE = 2,
};

static __always_inline struct nid_address nid_mapped(__u32 ip4)
{
	struct nid_address address = { .word = { 0, 0, NID_MAPPED_PREFIX, ip4 } };

	return address;
}

static __always_inline bool nid_same_address(const volatile struct nid_address *a,
					     const struct nid_address *b)
{
	return a->word[3] == b->word[3] && a->word[2] == b->word[2] &&
	       a->word[1] == b->word[1] && a->word[0] == b->word[0];
}

static __always_inline bool nid_is_protected(const volatile struct nid_address *endpoints,
					     __u32 count, const struct nid_address *destination)
{
	for (__u32 i = 0; i < NID_ENDPOINTS_MAX; i++) {
		if (i >= count)
			break;
		if (nid_same_address(&endpoints[i], destination))
			return true;
	}
	return false;
}

/* The verdict on a port of a protected address. Everything that is not known
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

#endif
