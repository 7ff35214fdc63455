/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Source routes: the addresses that a packet goes to after the one in its header.
 * The kernel writes them into the header on the way, some of them behind the last
 * hook that could see it. No helpers and no maps: who calls brings the reader.
 */
#ifndef PODIDENTD_ROUTES_H
#define PODIDENTD_ROUTES_H

#include "lib/destination.h"

/* Words of an IPv4 header, without and with all options that it has room for. */
#define NID_WORDS4 5
#define NID_OPTION_WORDS4 10

/* More headers, or more addresses in one of them, are no honest packet's. */
#define NID_EXTENSIONS_MAX 6
#define NID_SEGMENTS_MAX 16
#define NID_LAST_WORD 12

#define NID_EXTENSION_HOP_BY_HOP 0
#define NID_EXTENSION_ROUTING 43
#define NID_EXTENSION_FRAGMENT 44
#define NID_EXTENSION_AUTHENTICATION 51
#define NID_EXTENSION_DESTINATION 60

/* Types of routing headers: RFC 5095 (deprecates it), RFC 6275, RFC 8754. */
#define NID_ROUTING_SOURCE 0
#define NID_ROUTING_MOBILE 2
#define NID_ROUTING_SEGMENTS 4

/* The first eight bytes of an extension header. */
struct nid_extension {
	__u8 next;
	/* The length in units of eight bytes, without the first; of four for authentication. */
	__u8 units;
	/* The type of a routing header. With `left`, a fragment's offset. */
	__u8 type;
	__u8 left;
	__u32 rest;
};

/* The addresses of one packet that the filter lets through: where the last one is, for
 * the exact comparison afterwards, and how many there are. Two are taken for protected,
 * which one honest packet in thousands with a source route may be.
 *
 * Without branches, and in memory whose values the verifier forgets: it would follow
 * all that comes after once for each of them.
 */
struct nid_candidates {
	/* An IPv4 address, or the offset of an IPv6 address. */
	volatile __u32 last;
	volatile __u8 count;
};

/* `word` is the address's last one; `place` is kept. */
static __always_inline void nid_add_candidate(const volatile struct nid_endpoints *endpoints,
					      struct nid_candidates *candidates, __u32 word,
					      __u32 place)
{
	__u32 bit = nid_filter_bit(word);
	/* The unspecified address is no host's, and in many an option. */
	__u32 is_candidate = (endpoints->filter[bit / 32] >> (bit % 32)) & ((word | -word) >> 31);
	__u32 mask = -is_candidate;

	/* No branch by the compiler either. */
	asm volatile("" : "+r"(mask));
	candidates->last = (place & mask) | (candidates->last & ~mask);
	candidates->count += is_candidate;
}

/* Copies `size` bytes of a packet, from the IP header on; false if it is shorter. */
typedef bool (*nid_reader)(void *packet, __u32 offset, void *to, __u32 size);

/* Whether the options of an IPv4 header name a protected address.
 *
 * Every four bytes are looked at, wherever they begin, whatever option they are
 * of: no second reader of options could come to another result than the kernel's.
 * An address in a record of the route, or four bytes of a time, is no destination.
 * No useful packet has any of these options.
 */
static __always_inline bool nid_options_lead_on(const volatile struct nid_endpoints *endpoints,
						__u32 header_words, nid_reader read, void *packet)
{
	struct nid_candidates candidates = {};
	struct nid_address address;
	__u64 window = 0;
	__u8 count;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < NID_OPTION_WORDS4; i++) {
		__u32 word = 0;

		if (i + NID_WORDS4 >= header_words)
			break;
		if (!read(packet, (i + NID_WORDS4) * 4, &word, sizeof(word)))
			return true;
		window = window >> 32 | (__u64)word << 32;
#pragma clang loop unroll(full)
		for (__u32 byte = 1; byte <= 4; byte++)
			nid_add_candidate(endpoints, &candidates, window >> (8 * byte),
					  window >> (8 * byte));
	}
	count = candidates.count;
	if (count != 1)
		return count;
	address = nid_mapped(candidates.last);
	return nid_is_protected(endpoints, &address);
}

/* Whether a routing header may follow. */
static __always_inline bool nid_is_extension(__u8 protocol)
{
	return protocol == NID_EXTENSION_HOP_BY_HOP || protocol == NID_EXTENSION_ROUTING ||
	       protocol == NID_EXTENSION_FRAGMENT || protocol == NID_EXTENSION_AUTHENTICATION ||
	       protocol == NID_EXTENSION_DESTINATION;
}

static __always_inline __u32 nid_extension_bytes(__u8 protocol,
						 const struct nid_extension *extension)
{
	if (protocol == NID_EXTENSION_FRAGMENT)
		return sizeof(*extension);
	if (protocol == NID_EXTENSION_AUTHENTICATION)
		return (extension->units + 2) * 4;
	return (extension->units + 1) * 8;
}

/* Notes the addresses of a routing header.
 *
 * RPL's type (3, RFC 6554), which the kernel follows as well, leaves parts of its
 * addresses out, and is off unless an operator switches it on.
 *
 * Returns false if the header cannot be read to its end.
 */
static __always_inline bool nid_add_segments(const volatile struct nid_endpoints *endpoints,
					     struct nid_candidates *candidates,
					     const struct nid_extension *extension, __u32 offset,
					     nid_reader read, void *packet)
{
	/* Nothing of it is used any more. */
	if (!extension->left)
		return true;
	if (extension->type != NID_ROUTING_SOURCE && extension->type != NID_ROUTING_MOBILE &&
	    extension->type != NID_ROUTING_SEGMENTS)
		return false;
	if (extension->units / 2 > NID_SEGMENTS_MAX)
		return false;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < NID_SEGMENTS_MAX; i++) {
		__u32 place = offset + sizeof(*extension) + i * sizeof(struct nid_address);
		__u32 word;

		if (i >= extension->units / 2U)
			break;
		if (!read(packet, place + NID_LAST_WORD, &word, sizeof(word)))
			return false;
		nid_add_candidate(endpoints, candidates, word, place);
	}
	return true;
}

/* Whether the addresses that were noted name a protected one, or may. */
static __always_inline bool nid_has_protected(const volatile struct nid_endpoints *endpoints,
					      const struct nid_candidates *candidates,
					      nid_reader read, void *packet)
{
	struct nid_address address;
	__u8 count = candidates->count;

	if (count != 1)
		return count;
	return !read(packet, candidates->last, &address, sizeof(address)) ||
	       nid_is_protected(endpoints, &address);
}

/* Whether a routing header behind an IPv6 header names a protected address, or may:
 * what cannot be read to its end is not trusted.
 */
static __always_inline bool nid_extensions_lead_on(const volatile struct nid_endpoints *endpoints,
						   __u8 protocol, __u32 start, nid_reader read,
						   void *packet)
{
	struct nid_candidates candidates = {};
	/* In memory for the same reason. */
	volatile __u16 place = start;

#pragma clang loop unroll(disable)
	for (int i = 0; i < NID_EXTENSIONS_MAX; i++) {
		struct nid_extension extension;
		__u32 offset = place;

		if (!nid_is_extension(protocol))
			return nid_has_protected(endpoints, &candidates, read, packet);
		if (!read(packet, offset, &extension, sizeof(extension)))
			return true;
		if (protocol == NID_EXTENSION_ROUTING &&
		    !nid_add_segments(endpoints, &candidates, &extension, offset, read, packet))
			return true;
		/* Behind a later fragment's header there is no other one. */
		if (protocol == NID_EXTENSION_FRAGMENT &&
		    (extension.type || extension.left & 0xf8))
			return nid_has_protected(endpoints, &candidates, read, packet);
		place = offset + nid_extension_bytes(protocol, &extension);
		protocol = extension.next;
	}
	return true;
}

#endif
