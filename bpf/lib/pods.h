/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which pod a cgroup belongs to, and what is kept by pod. */
#ifndef PODIDENTD_PODS_H
#define PODIDENTD_PODS_H

#include <stdbool.h>
#include "lib/maps.h"

static __always_inline const struct nid_settings *nid_settings_of_node(void)
{
	__u32 zero = 0;
	const struct nid_settings *settings = bpf_map_lookup_elem(&nid_settings, &zero);

	return settings && settings->kubepods_id ? settings : NULL;
}

/* The settings, if the current task is a pod's. */
static __always_inline const struct nid_settings *nid_settings_of_pod(void)
{
	const struct nid_settings *settings = nid_settings_of_node();

	if (!settings ||
	    bpf_get_current_ancestor_cgroup_id(settings->kubepods_level) != settings->kubepods_id)
		return NULL;
	return settings;
}

static __always_inline bool nid_is_group(const struct nid_settings *settings, __u64 id)
{
	for (int i = 0; i < NID_GROUPS; i++)
		if (settings->groups[i] == id)
			return true;
	return false;
}

/* The pod-level cgroup among the first three below the kubepods root; 0 for a
 * task that sits above the pod level, which is nobody's pod.
 */
static __always_inline __u64 nid_pod_among(const struct nid_settings *settings, __u64 first,
					   __u64 second, __u64 third)
{
	if (!nid_is_group(settings, first))
		return first;
	if (!nid_is_group(settings, second))
		return second;
	return third;
}

/* Whether what nid_pod_among() took for a pod may be a QoS class that the agent
 * has not told of yet, because the kubelet has only just made it. Only those of
 * the partition `system` can be missing for good, and count only inside of it.
 */
static __always_inline bool nid_may_be_group(const struct nid_settings *settings, __u64 first,
					     __u64 pod)
{
	if (pod == first)
		return !settings->groups[0] || !settings->groups[1];
	return first == settings->groups[NID_GROUP_SYSTEM] &&
	       (!settings->groups[NID_GROUP_SYSTEM + 1] || !settings->groups[NID_GROUP_SYSTEM + 2]);
}

static __always_inline __u64 nid_current_pod(const struct nid_settings *settings)
{
	__u32 level = settings->kubepods_level;

	return nid_pod_among(settings, bpf_get_current_ancestor_cgroup_id(level + 1),
			     bpf_get_current_ancestor_cgroup_id(level + 2),
			     bpf_get_current_ancestor_cgroup_id(level + 3));
}

static __always_inline enum nid_policy nid_policy_of(__u64 pod)
{
	const __u32 *policy = bpf_map_lookup_elem(&nid_policies, &pod);

	return policy ? (enum nid_policy)*policy : NID_POLICY_ATTRIBUTE;
}

/* The pod's connections; NULL if the map is full. */
static __always_inline __u64 *nid_connections_of(__u64 pod)
{
	__u64 *connections = bpf_map_lookup_elem(&nid_connections, &pod);
	__u64 none = 0;

	if (connections)
		return connections;
	/* Another CPU may be first: either's zero is the entry. */
	bpf_map_update_elem(&nid_connections, &pod, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&nid_connections, &pod);
}

static __always_inline bool nid_may_connect(__u64 pod)
{
	const __u64 *connections = nid_connections_of(pod);

	/* Signed: see nid_subtract_connection. */
	return connections && (__s64)*connections < NID_CONNECTIONS_MAX;
}

static __always_inline bool nid_add_connection(__u64 pod)
{
	__u64 *connections = bpf_map_lookup_elem(&nid_connections, &pod);

	if (!connections)
		return false;
	__sync_fetch_and_add(connections, 1);
	return true;
}

/* May go below zero: the agent starts from none when it has lost its listening
 * socket, and an earlier connection's client may close after that.
 */
static __always_inline void nid_subtract_connection(__u64 pod)
{
	__u64 *connections = bpf_map_lookup_elem(&nid_connections, &pod);

	if (connections)
		__sync_fetch_and_add(connections, -1);
}

#endif
