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

#define NID_ABI_VERSION 3

/* Levels below the kubepods root that a tag records: QoS class, pod, container
 * and what lies between them in every known layout.
 */
#define NID_ANCESTORS 5

/* Endpoints that can be protected at once: those of all known clouds are some
 * twenty, the rest is the operator's.
 */
#define NID_ENDPOINTS_MAX 64

/* Bits of the filter before them: with 20 endpoints one in two hundred other
 * addresses is compared with each of them.
 */
#define NID_FILTER_BITS 4096

/* Cgroups between the kubepods root and the pod level, each at its place: the two
 * QoS classes, the partition `system`, and the two QoS classes in it.
 */
#define NID_GROUPS 5
#define NID_GROUP_SYSTEM 2

/* Kubepods trees beside the agent's own that the programs know at once. */
#define NID_OTHER_TREES 8

/* Connections of one pod from its SYN until the agent has closed its end. An
 * eighth of the agent's backlog (4096): no pod can fill it, nor the hand-over
 * table. connect() checks and the SYN counts, so that each further CPU may bring
 * one connection more.
 */
#define NID_CONNECTIONS_MAX 512

/* Counters of announced connections: with 512 pods' worth of handshakes under way
 * at once, one in a hundred foreign SYNs meets a counter that is not zero.
 */
#define NID_ANNOUNCEMENTS 65536

/* Flows of pods with the policy `passthrough` that the forward guard knows at
 * one moment, and for how long it knows them after their last packet.
 */
#define NID_PASSED_FLOWS 1024
#define NID_PASSED_NS 1000000000ULL

/* Pods that have connected, or have a policy, on this node at once. Kubernetes
 * itself supports 110 a node, large installations run some 500.
 */
#define NID_PODS_MAX 4096

/* An IPv6 address, or an IPv4 address in its mapped form ::ffff:a.b.c.d, as
 * four words in network order: one comparison serves both families.
 */
struct nid_address {
	__u32 word[4];
};

enum nid_action {
	/* Nobody but the machine has business there. */
	NID_ACTION_REFUSE = 0,
	/* TCP port 80 is the agent's to answer; with a port, that port alone. */
	NID_ACTION_REDIRECT = 1,
};

/* What pods may not reach. */
struct nid_endpoint {
	struct nid_address address;
	/* Host order. 0: every port but DNS and NTP. */
	__u16 port;
	/* enum nid_action */
	__u16 action;
};

/* All of them. Constant from load to unload of a program: no map look-up. */
struct nid_endpoints {
	__u32 count;
	/* The bit nid_filter_bit() of each address. A destination whose bit is not set
	 * is not protected, and that is all that its packet costs.
	 */
	__u32 filter[NID_FILTER_BITS / 32];
	struct nid_endpoint entries[NID_ENDPOINTS_MAX];
};

/* The place of an address in the filter, by its last word in network order. The
 * same for an IPv4 address, its mapped form, and its form behind a translator.
 */
static inline __u32 nid_filter_bit(__u32 last_word)
{
	return (last_word * 0x9e3779b1u) >> 20;
}

/* What becomes of a pod's connections to protected endpoints. A pod without an
 * entry is attributed.
 */
enum nid_policy {
	NID_POLICY_ATTRIBUTE = 0,
	/* To the machine's own metadata server. */
	NID_POLICY_PASSTHROUGH = 1,
	NID_POLICY_DENY = 2,
};

enum nid_tag_state {
	/* Never written by a hook: not a connection of ours. */
	NID_TAG_NONE = 0,
	/* Inherited from the agent's listening socket; nobody claimed it. */
	NID_TAG_UNCLAIMED = 1,
	/* Filled in from the caller's note. */
	NID_TAG_CLAIMED = 2,
	/* In notes only: the caller named the agent itself. Expected by the agent's
	 * socket, so that it is reset and not kept waiting, but never handed over.
	 */
	NID_TAG_DIRECT = 3,
};

/* Who connected, as the kernel saw it at connect(). */
struct nid_tag {
	/* Cgroup IDs of the caller's ancestors, the one directly below the
	 * kubepods root first; 0 where the caller is not that deep.
	 */
	__u64 ancestors[NID_ANCESTORS];
	__u64 leaf;
	/* The pod-level cgroup: the first ancestor that is no group of pods. What
	 * limits and policies are kept by; identity comes from `ancestors`.
	 */
	__u64 pod;
	__u64 netns_cookie;
	__u64 socket_cookie;
	struct nid_address destination;
	/* Host order. */
	__u16 destination_port;
	/* AF_INET or AF_INET6: the family of the caller's socket. */
	__u8 family;
	/* enum nid_tag_state */
	__u8 state;
	/* The accepted socket counts as one of the connections of `pod`. */
	__u32 counted;
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
	/* Where the tag waits for the accepting side; valid if `claimed`. Before that,
	 * its first half is what was announced.
	 */
	struct nid_key key;
	__u32 claimed;
	/* The agent's socket expects this one's SYN. */
	__u32 announced;
	/* This socket counts as one of its pod's connections. Once it has claimed,
	 * its hand-over does, and then the agent's socket.
	 */
	__u32 counted;
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
	/* Counts as one of its pod's connections. */
	__u32 counted;
};

/* A cgroup, and where it stands among the ancestors of what lies below it. */
struct nid_tree {
	/* 0 is no cgroup's. */
	__u64 id;
	/* The kernel's level: 0 is the root of the whole hierarchy, whatever cgroup
	 * namespace the node lives in.
	 */
	__u32 level;
	__u32 reserved;
};

/* A pod's connections to the agent. The kernel counts both ends, so that what is
 * redirected and never arrives is seen, whatever drops it in between.
 */
struct nid_pod_connections {
	/* From the SYN until the agent has closed its end. Signed: see
	 * nid_subtract_connection.
	 */
	__s64 open;
	/* SYNs that were sent to the agent in place of a metadata address. */
	__u64 redirected;
	/* Connections that the agent's socket took over with the pod's tag. */
	__u64 arrived;
	/* SYNs since the last arrival. */
	__u64 unarrived;
};

/* Which tasks are pods'. Written by the agent, which may find the kubepods
 * root recreated while it runs.
 */
struct nid_settings {
	/* Cgroup ID of the kubepods root. 0 is no cgroup's. */
	__u64 kubepods_id;
	/* Groups of pods below it; 0 where there is none. While one is missing
	 * here, the pods in it share limits, and nothing else: see nid_is_made_by.
	 */
	__u64 groups[NID_GROUPS];
	/* The kernel's level of the kubepods root, counted from the root of the whole
	 * hierarchy and not from that of the node's cgroup namespace.
	 */
	__u32 kubepods_level;
	__u32 reserved;
	/* The kubepods trees of other kubelets, or of this one before its cgroup
	 * driver was changed. What runs there is neither a pod of the agent's nor
	 * the machine itself: it reaches no protected address.
	 */
	struct nid_tree others[NID_OTHER_TREES];
};

/* A packet's two ends, as the node sees them. */
struct nid_flow {
	struct nid_address source;
	struct nid_address destination;
	/* Network order. */
	__u16 source_port;
	__u16 destination_port;
	__u32 protocol;
};

/* A flow that its pod may send round the forward guard. */
struct nid_passed {
	struct nid_flow flow;
	/* On the clock of bpf_ktime_get_ns. */
	__u64 until;
};

enum nid_cgroup_event_kind {
	NID_CGROUP_MADE = 1,
	NID_CGROUP_REMOVED = 2,
};

/* One cgroup made or removed between the kubepods root and the container level, or
 * made where a kubepods root may be.
 */
struct nid_cgroup_event {
	__u64 id;
	/* enum nid_cgroup_event_kind */
	__u32 kind;
	/* Levels below the kubepods root: 1 is its child, 0 one that is not below it. */
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
	/* UDP without connect() to a protected endpoint. */
	NID_STAT_REFUSED_DATAGRAM = 13,
	/* The socket was made in another pod, or outside of all pods. */
	NID_STAT_REFUSED_CREATOR = 14,
	/* The pod's policy is `deny`. */
	NID_STAT_REFUSED_POLICY = 15,
	/* The pod has NID_CONNECTIONS_MAX connections already. */
	NID_STAT_REFUSED_LIMIT = 16,
	/* The pod's policy is `passthrough`. */
	NID_STAT_PASSED_THROUGH = 17,
	/* Packets of pods' sockets that met no connect hook: raw sockets, and
	 * connections older than the hooks.
	 */
	NID_STAT_DROPPED_EGRESS = 18,
	/* Packets from outside of the node's own sockets: AF_PACKET, sandboxes. */
	NID_STAT_DROPPED_FORWARD = 19,
	/* SYNs to the agent that no socket of this node's announced: other machines,
	 * raw senders, sandboxes.
	 */
	NID_STAT_DROPPED_UNANNOUNCED = 20,
	/* Connections, datagrams and packets from another kubepods tree. */
	NID_STAT_REFUSED_OTHER_TREE = 21,
	/* Packets that a translation of the node's (DNAT) had turned to a protected
	 * address: Services whose endpoint is one.
	 */
	NID_STAT_DROPPED_TRANSLATED = 22,
	/* Packets whose source route or routing header names a protected address. */
	NID_STAT_DROPPED_ROUTED = 23,
	/* Frames to protected addresses that pods in the node's network namespace
	 * wrote to its interfaces themselves.
	 */
	NID_STAT_DROPPED_UPLINK = 24,
	NID_STAT_COUNT = 25,
};

_Static_assert(sizeof(struct nid_address) == 16, "nid_address");
_Static_assert(sizeof(struct nid_endpoint) == 20, "nid_endpoint");
_Static_assert(sizeof(struct nid_endpoints) == 1796, "nid_endpoints");
_Static_assert(sizeof(struct nid_tag) == 96, "nid_tag");
_Static_assert(sizeof(struct nid_key) == 8, "nid_key");
_Static_assert(sizeof(struct nid_note) == 120, "nid_note");
_Static_assert(sizeof(struct nid_handover) == 112, "nid_handover");
_Static_assert(sizeof(struct nid_pod_connections) == 32, "nid_pod_connections");
_Static_assert(sizeof(struct nid_tree) == 16, "nid_tree");
_Static_assert(sizeof(struct nid_settings) == 184, "nid_settings");
_Static_assert(sizeof(struct nid_flow) == 40, "nid_flow");
_Static_assert(sizeof(struct nid_passed) == 48, "nid_passed");
_Static_assert(sizeof(struct nid_cgroup_event) == 16, "nid_cgroup_event");

#endif
