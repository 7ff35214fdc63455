/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map that more than one object uses. They are pinned by name, so that
 * all objects, and the next agent, share one of each. No map is an LRU: losing
 * an entry in silence would be losing a request in silence.
 */
#ifndef PODIDENTD_MAPS_H
#define PODIDENTD_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "podidentd_abi.h"

/* key:     a client socket
 * writer:  the connect hooks
 * deleter: the connect hooks when the socket turns to the loopback address by
 *          itself; the socket's end
 * size:    one per socket that was redirected
 * full:    no memory: the connect is refused (NID_STAT_REFUSED_NO_NOTE)
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct nid_note);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_notes SEC(".maps");

/* key:     the agent's listening socket (its value only marks it) and, cloned
 *          from it by the kernel, every socket accepted from it
 * writer:  the agent (the listener), the getpeername hooks
 * deleter: the socket's end
 * size:    one per connection to the agent
 * full:    no memory: the clone fails and with it the connection
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct nid_tag);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_tags SEC(".maps");

/* key:     a network namespace's cookie, which the kernel never gives twice
 * writer:  the agent, once it listens there
 * deleter: the agent, when it has closed its listener; never the node's own
 * size:    NID_LISTENERS_MAX, allocated one by one
 * full:    the agent says so, and the namespace's connections are held, then
 *          refused
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_RDONLY_PROG | BPF_F_NO_PREALLOC);
	__uint(max_entries, NID_LISTENERS_MAX);
	__type(key, __u64);
	__type(value, struct nid_listener);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_listeners SEC(".maps");

/* key:     a pod-level cgroup's ID
 * writer:  the agent
 * deleter: the agent, when the cgroup is gone
 * size:    every pod of the node
 * full:    the agent cannot store the policy and says so; the pod is attributed
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, NID_PODS_MAX);
	__type(key, __u64);
	__type(value, __u32);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_policies SEC(".maps");

/* key:     a pod-level cgroup's ID
 * writer:  the connect hooks (redirected), the getpeername hooks (arrived), programs
 *          that report a namespace (its share of the events)
 * deleter: the agent, when the cgroup is gone
 * size:    every pod of the node; no pod can make a second pod-level cgroup
 * full:    the pod's connections are not counted
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NID_PODS_MAX);
	__type(key, __u64);
	__type(value, struct nid_pod_connections);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_connections SEC(".maps");

/* key:     a hash of a flow
 * writer:  the egress guard, with each packet of a pod with the policy
 *          `passthrough`
 * deleter: none: entries run out
 * size:    NID_PASSED_FLOWS
 * full:    never: the later flow has the slot, and a packet of the earlier is
 *          dropped and sent again
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NID_PASSED_FLOWS);
	__type(key, __u32);
	__type(value, struct nid_passed);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_passed SEC(".maps");

/* key:     0
 * writer:  the agent
 * deleter: none
 * size:    1
 * full:    never
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nid_settings);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_settings SEC(".maps");

/* key:     enum nid_stat
 * writer:  every hook; one counter per CPU, read as their sum
 * deleter: none
 * size:    NID_STAT_COUNT
 * full:    never
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NID_STAT_COUNT);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} nid_stats SEC(".maps");

static __always_inline void nid_count(enum nid_stat stat)
{
	__u32 index = stat;
	__u64 *counter = bpf_map_lookup_elem(&nid_stats, &index);

	if (counter)
		(*counter)++;
}

#endif
