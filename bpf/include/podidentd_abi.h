/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The contract between the kernel programs and the agent: every value that
 * crosses the boundary, in one header that both compilers read. Sizes are
 * asserted here and again in Tests/KernelTests/DecisionTests.swift.
 *
 * NID and nid_ ("node identity") are the prefix of podidentd in the kernel: no name here meets one of the kernel's.
 *
 * A change of a map's value changes NID_ABI_VERSION, which is part of the path
 * that maps are pinned under: a new agent never adopts a map it misreads.
 */
#ifndef PODIDENTD_ABI_H
#define PODIDENTD_ABI_H

#include <linux/types.h>

#define NID_ABI_VERSION 5

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

/* Network namespaces with a listener of the agent's at once: those of 500 pods,
 * each with as many as it may have.
 */
#define NID_LISTENERS_MAX 8192

/* Namespaces whose latest event is remembered, so that none is reported again and
 * again while its listener is being opened, and for how long.
 */
#define NID_ASKED 1024
#define NID_ASKED_NS 5000000ULL

/* Events that one pod may cause in one window: more are dropped and counted, so
 * that no pod can fill the queue.
 */
#define NID_POD_EVENTS_MAX 64
#define NID_POD_EVENTS_NS 10000000ULL

/* Connections of one pod in the node's own network namespace that the agent has not
 * accepted, within a second. All pods of that namespace share one queue of 4,096. Connects that
 * never reach the agent are forgotten with the window in which they were counted.
 */
#define NID_WAITING_MAX 256
#define NID_WAITING_NS 1000000000ULL

/* For how long the SYN of a connection without a listener is held. */
#define NID_HOLD_NS 1500000000ULL

/* Flows of pods with the policy `passthrough` that the forward guard knows at
 * one moment. It forgets a flow this long after its last packet.
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
	/* Only the machine has business there. */
	NID_ACTION_REFUSE = 0,
	/* TCP port 80 is the agent's to answer; with a port, that port alone. */
	NID_ACTION_REDIRECT = 1,
};

/* An address and port that pods may not reach. */
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

/* The policy for a pod's connections to protected endpoints. A pod without an
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
	/* Inherited from the agent's listening socket; no hook has asked yet whose the
	 * other end is.
	 */
	NID_TAG_UNCLAIMED = 1,
	/* Filled in from the caller's note. */
	NID_TAG_CLAIMED = 2,
	/* The other end is not a socket that was redirected: for good. */
	NID_TAG_REFUSED = 3,
};

/* The caller, as the kernel saw it at connect(). */
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
	__u32 reserved;
};

/* A client socket's note of its own caller. */
struct nid_note {
	struct nid_tag tag;
	/* When the connection began to wait for a listener, on the clock of
	 * bpf_ktime_get_ns. 0: it does not wait.
	 */
	__u64 held_since;
	/* The caller's process in the agent's PID namespace; 0: it is not visible there. */
	__u32 pid;
	/* Number of the network namespace in the file system of namespaces. */
	__u32 netns_inode;
};

enum nid_listener_state {
	NID_LISTENER_OPEN = 1,
	/* The namespace gets none: its connections are refused at once. */
	NID_LISTENER_REFUSE = 2,
};

#define NID_LISTENER_IPV4 1
#define NID_LISTENER_IPV6 2

/* Where the agent listens in one network namespace. */
struct nid_listener {
	/* Host order. */
	__u16 port;
	/* enum nid_listener_state */
	__u8 state;
	/* NID_LISTENER_IPV4: 127.0.0.1. NID_LISTENER_IPV6: ::1. */
	__u8 families;
	__u32 reserved;
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
	/* Connects that were redirected to the agent in place of a metadata address. */
	__u64 redirected;
	/* Connections that were accepted with the pod's tag. */
	__u64 arrived;
	/* Connects since the last arrival. */
	__u64 unarrived;
	/* The window of NID_POD_EVENTS_NS that `events` counts, and they. */
	__u64 window;
	__u64 events;
	/* The window of NID_WAITING_NS that `waiting` counts. It counts connections in the
	 * node's own network namespace that were redirected in the window and are not yet
	 * accepted. Two CPUs may take it below 0.
	 */
	__u64 waiting_window;
	__s64 waiting;
};

/* The cgroups whose tasks are pods'. Written by the agent, which may find the kubepods
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
	/* Number of the agent's PID namespace in the file system of namespaces: processes
	 * are reported by their IDs in it. 0: by those in the initial one.
	 */
	__u32 pid_namespace;
	/* The node's own network namespace, and the cgroup whose processes alone may
	 * bind the agent's ports there. 0: no such namespace is known yet.
	 */
	__u64 node_netns_cookie;
	__u64 agent_cgroup;
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
	/* No process is left in the cgroup or below it. Of pods' levels only. */
	NID_CGROUP_EMPTIED = 3,
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

enum nid_namespace_reason {
	/* A process of a pod was executed. */
	NID_NAMESPACE_EXEC = 1,
	/* A pod's connection was redirected, and there is no listener. */
	NID_NAMESPACE_CONNECT = 2,
	/* A connection still waits. */
	NID_NAMESPACE_HELD = 3,
	/* Found by a walk of all tasks. */
	NID_NAMESPACE_WALK = 4,
	/* A process of a pod was made there, or came into the pod from there. */
	NID_NAMESPACE_ENTER = 5,
};

/* A network namespace in which a pod's process runs, and the agent does not listen
 * for both families.
 */
struct nid_namespace_event {
	__u64 netns_cookie;
	/* The pod-level cgroup. */
	__u64 pod;
	__u64 leaf;
	/* Number of the namespace in the file system of namespaces. */
	__u32 netns_inode;
	/* In the agent's PID namespace; 0: it is not visible there. */
	__u32 pid;
	/* enum nid_namespace_reason */
	__u32 reason;
	__u32 reserved;
};

/* Indices of nid_stats. Names in Sources/BPF/Maps/DatapathCounters.swift. */
enum nid_stat {
	/* Connects that were redirected to the agent's listener. */
	NID_STAT_REDIRECTED = 0,
	/* A protected address at a port that is neither served nor open. */
	NID_STAT_REFUSED_PORT = 1,
	/* No memory for the caller's note. */
	NID_STAT_REFUSED_NO_NOTE = 2,
	/* The socket was made in another pod, or outside of all pods. */
	NID_STAT_REFUSED_CREATOR = 3,
	/* The pod's policy is `deny`. */
	NID_STAT_REFUSED_POLICY = 4,
	/* The agent gives the caller's network namespace no listener. */
	NID_STAT_REFUSED_NAMESPACE = 5,
	/* The socket is bound to an interface, and cannot be freed from it. */
	NID_STAT_REFUSED_DEVICE = 6,
	/* Connections, datagrams and packets from another kubepods tree. */
	NID_STAT_REFUSED_OTHER_TREE = 7,
	/* Binds of the agent's port in the node's network namespace by others. */
	NID_STAT_REFUSED_BIND = 8,
	/* As many of the pod's connections wait in the node's own network namespace as
	 * may, or it named the agent's port there itself.
	 */
	NID_STAT_REFUSED_WAITING = 9,
	/* The pod's policy is `passthrough`. */
	NID_STAT_PASSED_THROUGH = 10,
	/* Connects that began before their namespace had a listener. */
	NID_STAT_HELD = 11,
	/* SYNs of theirs that were dropped meanwhile. */
	NID_STAT_HELD_DROPPED = 12,
	/* SYNs that were let go to be refused, because no listener came. */
	NID_STAT_HELD_EXPIRED = 13,
	/* Packets of redirected sockets that would have left their namespace. */
	NID_STAT_DROPPED_OFF_LOOPBACK = 14,
	/* Accepted with the caller's tag. */
	NID_STAT_TAGGED = 15,
	/* Accepted, and the other end is no socket that was redirected. */
	NID_STAT_UNTAGGED = 16,
	/* Accepted, and the redirected socket at the other end is another
	 * connection's: a process translates addresses in that namespace. Or this
	 * one ended at that very moment, and its port is used again.
	 */
	NID_STAT_MISMATCHED = 17,
	/* Events of cgroups that found the queue full. */
	NID_STAT_CGROUP_EVENT_LOST = 18,
	/* Events of namespaces that found the queue full, or their pod's share used. */
	NID_STAT_NAMESPACE_EVENT_LOST = 19,
	/* Packets of pods' sockets that met no connect hook: raw sockets, UDP without
	 * connect(), and connections older than the hooks.
	 */
	NID_STAT_DROPPED_EGRESS = 20,
	/* Packets from outside of the node's own sockets: AF_PACKET, sandboxes. */
	NID_STAT_DROPPED_FORWARD = 21,
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
_Static_assert(sizeof(struct nid_note) == 112, "nid_note");
_Static_assert(sizeof(struct nid_listener) == 8, "nid_listener");
_Static_assert(sizeof(struct nid_pod_connections) == 56, "nid_pod_connections");
_Static_assert(sizeof(struct nid_tree) == 16, "nid_tree");
_Static_assert(sizeof(struct nid_settings) == 200, "nid_settings");
_Static_assert(sizeof(struct nid_flow) == 40, "nid_flow");
_Static_assert(sizeof(struct nid_passed) == 48, "nid_passed");
_Static_assert(sizeof(struct nid_cgroup_event) == 16, "nid_cgroup_event");
_Static_assert(sizeof(struct nid_namespace_event) == 40, "nid_namespace_event");

#endif
