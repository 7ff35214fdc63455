/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The pod that a cgroup belongs to, and what is kept by pod. */
#ifndef PODIDENTD_PODS_H
#define PODIDENTD_PODS_H

#include <stdbool.h>
#include "lib/layout.h"
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

/* Whether the current task runs in another kubepods tree. Only for tasks that are
 * no pod's, on their way to protected addresses.
 */
static __always_inline bool nid_is_in_other_tree(const struct nid_settings *settings)
{
	for (int i = 0; i < NID_OTHER_TREES; i++) {
		const struct nid_tree *tree = &settings->others[i];

		if (tree->id &&
		    nid_is_tree(tree, bpf_get_current_ancestor_cgroup_id(tree->level)))
			return true;
	}
	return false;
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
static __always_inline struct nid_pod_connections *nid_connections_of(__u64 pod)
{
	struct nid_pod_connections *connections = bpf_map_lookup_elem(&nid_connections, &pod);
	struct nid_pod_connections none = {};

	if (connections)
		return connections;
	/* Another CPU may be first: either's zero is the entry. */
	bpf_map_update_elem(&nid_connections, &pod, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&nid_connections, &pod);
}

static __always_inline void nid_count_redirect(__u64 pod)
{
	struct nid_pod_connections *connections = nid_connections_of(pod);

	if (!connections)
		return;
	__atomic_fetch_add(&connections->redirected, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&connections->unarrived, 1, __ATOMIC_RELAXED);
}

/* Counts one more connection that waits in the node's own network namespace. False: as
 * many of the pod's wait there as may, and one more would take a place from others.
 */
static __always_inline bool nid_may_wait(__u64 pod)
{
	struct nid_pod_connections *connections = nid_connections_of(pod);
	__u64 window = bpf_ktime_get_ns() / NID_WAITING_NS;

	if (!connections)
		return true;
	if (connections->waiting_window != window) {
		connections->waiting_window = window;
		connections->waiting = 0;
	}
	if (connections->waiting >= NID_WAITING_MAX)
		return false;
	__atomic_fetch_add(&connections->waiting, 1, __ATOMIC_RELAXED);
	return true;
}

static __always_inline bool nid_is_of_node(__u64 netns_cookie)
{
	const struct nid_settings *settings = nid_settings_of_node();

	return settings && settings->node_netns_cookie == netns_cookie;
}

/* Another CPU's connect of this moment may be forgotten with those before it: the
 * next one is counted.
 */
static __always_inline void nid_count_arrival(__u64 pod, __u64 netns_cookie)
{
	struct nid_pod_connections *connections = bpf_map_lookup_elem(&nid_connections, &pod);

	if (!connections)
		return;
	__atomic_fetch_add(&connections->arrived, 1, __ATOMIC_RELAXED);
	connections->unarrived = 0;
	if (connections->waiting > 0 && nid_is_of_node(netns_cookie))
		__atomic_fetch_add(&connections->waiting, -1, __ATOMIC_RELAXED);
}

#endif
