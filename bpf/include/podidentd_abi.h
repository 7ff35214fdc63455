/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The contract between the kernel programs and the agent: every value that
 * crosses the boundary, in one header that both compilers read. Sizes are
 * asserted here and again in Tests/KernelTests/DecisionTests.swift.
 *
 * A change of a map's value changes NID_ABI_VERSION, which is part of the path
 * that maps are pinned under: a new agent never adopts a map it misreads.
 */
#ifndef PODIDENTD_ABI_H
#define PODIDENTD_ABI_H

#include <linux/types.h>

#define NID_ABI_VERSION 1

/* Levels below the kubepods root that a tag records: QoS class, pod, container
 * and what lies between them in every known layout.
 */
#define NID_ANCESTORS 5

/* Addresses that can be protected at once. */
#define NID_ENDPOINTS_MAX 8

/* An IPv6 address, or an IPv4 address in its mapped form ::ffff:a.b.c.d, as
 * four words in network order: one comparison serves both families.
 */
struct nid_address {
	__u32 word[4];
};

enum nid_tag_state {
	/* Never written by a hook: not a connection of ours. */
	NID_TAG_NONE = 0,
	/* Inherited from the agent's listening socket; nobody claimed it. */
	NID_TAG_UNCLAIMED = 1,
	/* Filled in from the caller's note. */
	NID_TAG_CLAIMED = 2,
};

/* Who connected, as the kernel saw it at connect(). */
struct nid_tag {
	/* Cgroup IDs of the caller's ancestors, the one directly below the
	 * kubepods root first; 0 where the caller is not that deep.
	 */
	__u64 ancestors[NID_ANCESTORS];
	__u64 leaf;
	__u64 netns_cookie;
	__u64 socket_cookie;
	struct nid_address destination;
	/* Host order. */
	__u16 destination_port;
	/* AF_INET or AF_INET6: the family of the caller's socket. */
	__u8 family;
	/* enum nid_tag_state */
	__u8 state;
	__u32 reserved;
};

/* Both initial sequence numbers of one connection, client's first: what its two
 * ends know and nobody else chose.
 */
struct nid_key {
	__u32 client_isn;
	__u32 server_isn;
};

/* A client socket's note of its own caller. */
struct nid_note {
	struct nid_tag tag;
	/* Where the tag waits for the accepting side; valid if `claimed`. */
	struct nid_key key;
	__u32 claimed;
	__u32 reserved;
};

/* A tag on its way from the connecting to the accepting side. */
struct nid_handover {
	struct nid_tag tag;
	/* Of tag and key. The kernel recycles map elements at once, so a reader
	 * may see half of another entry; a copy that is whole proves it.
	 */
	__u64 seal;
	/* Set by the second claimant of the key, never cleared. */
	__u32 voided;
	__u32 reserved;
};

/* Which tasks are pods'. Written by the agent, which may find the kubepods
 * root recreated while it runs.
 */
struct nid_settings {
	/* Cgroup ID of the kubepods root. 0 is no cgroup's. */
	__u64 kubepods_id;
	/* Its level: 1 for a child of the root of the hierarchy. */
	__u32 kubepods_level;
	__u32 reserved;
};

enum nid_cgroup_event_kind {
	NID_CGROUP_MADE = 1,
	NID_CGROUP_REMOVED = 2,
};

/* One cgroup made or removed at most NID_ANCESTORS levels below the root. */
struct nid_cgroup_event {
	__u64 id;
	/* enum nid_cgroup_event_kind */
	__u32 kind;
	/* Levels below the kubepods root: 1 is its child. */
	__u32 depth;
};

/* Indices of nid_stats. Names in Sources/BPF/DatapathCounters.swift. */
enum nid_stat {
	NID_STAT_REDIRECTED = 0,
	/* A protected address at a port that is neither served nor open. */
	NID_STAT_REFUSED_PORT = 1,
	/* No memory for the caller's note. */
	NID_STAT_REFUSED_NO_NOTE = 2,
	/* The hand-over table is full. */
	NID_STAT_CLAIM_TABLE_FULL = 3,
	/* A second claim to the same key: void for both. */
	NID_STAT_CLAIM_CONFLICT = 4,
	/* Established without a packet (TCP_REPAIR): no claim. */
	NID_STAT_CLAIM_WITHOUT_PACKET = 5,
	NID_STAT_CLAIMED = 6,
	NID_STAT_TAGGED = 7,
	/* A connection to the agent's socket that nobody claimed. */
	NID_STAT_UNTAGGED = 8,
	NID_STAT_VOIDED = 9,
	/* A copy whose seal did not match: read while being recycled. */
	NID_STAT_TORN = 10,
	/* Claims withdrawn because the client closed before it was accepted. */
	NID_STAT_WITHDRAWN = 11,
	NID_STAT_CGROUP_EVENT_LOST = 12,
	NID_STAT_COUNT = 13,
};

_Static_assert(sizeof(struct nid_address) == 16, "nid_address");
_Static_assert(sizeof(struct nid_tag) == 88, "nid_tag");
_Static_assert(sizeof(struct nid_key) == 8, "nid_key");
_Static_assert(sizeof(struct nid_note) == 104, "nid_note");
_Static_assert(sizeof(struct nid_handover) == 104, "nid_handover");
_Static_assert(sizeof(struct nid_settings) == 16, "nid_settings");
_Static_assert(sizeof(struct nid_cgroup_event) == 16, "nid_cgroup_event");

#endif
