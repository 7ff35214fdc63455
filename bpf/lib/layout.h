/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The levels below the kubepods root. No helpers and no maps: see
 * destination.h.
 */
#ifndef PODIDENTD_LAYOUT_H
#define PODIDENTD_LAYOUT_H

#include <stdbool.h>
#include "podidentd_abi.h"

/* The pod level below the partition `system` and a QoS class, and its containers:
 * the deepest levels that name anything in any known layout.
 */
#define NID_POD_DEPTH_MAX 3
#define NID_CONTAINER_DEPTH_MAX 4

static __always_inline bool nid_is_group(const struct nid_settings *settings, __u64 id)
{
	for (int i = 0; i < NID_GROUPS; i++)
		if (settings->groups[i] == id)
			return true;
	return false;
}

/* The pod-level cgroup among the first three below the kubepods root; 0 for a
 * task that sits above the pod level, which is no pod's.
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

/* Whether the result of nid_pod_among() may be a QoS class instead of a pod: one that
 * the kubelet has only just made, so that the programs do not know it yet. Only those of
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

/* Whether the agent wants events of a cgroup `depth` levels below the kubepods root,
 * by its ancestors at the first three levels (itself among them; 0 below itself).
 *
 * A workload may make cgroups below its container's as deep and as often as it likes,
 * and none of them names anything.
 */
static __always_inline bool nid_is_reported(const struct nid_settings *settings, __u32 depth,
					    __u64 first, __u64 second, __u64 third)
{
	__u64 pod = nid_pod_among(settings, first, second, third);
	__u32 pod_depth = pod == first ? 1 : pod == second ? 2 : NID_POD_DEPTH_MAX;

	if (nid_may_be_group(settings, first, pod))
		return depth <= NID_CONTAINER_DEPTH_MAX;
	return depth <= pod_depth + 1;
}

/* Whether `ancestor`, a task's or a socket's at the level of `tree`, is that tree. */
static __always_inline bool nid_is_tree(const struct nid_tree *tree, __u64 ancestor)
{
	return tree->id && tree->id == ancestor;
}

#endif
