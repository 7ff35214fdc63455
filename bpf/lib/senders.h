/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The pod that a packet's socket was made in. Packets are often sent in softirq
 * context, where the current task is anybody.
 */
#ifndef PODIDENTD_SENDERS_H
#define PODIDENTD_SENDERS_H

#include "lib/pods.h"

static __always_inline bool nid_is_sent_by_pod(struct __sk_buff *skb,
					       const struct nid_settings *settings)
{
	return bpf_skb_ancestor_cgroup_id(skb, settings->kubepods_level) == settings->kubepods_id;
}

static __always_inline bool nid_is_sent_from_other_tree(struct __sk_buff *skb,
							const struct nid_settings *settings)
{
	for (int i = 0; i < NID_OTHER_TREES; i++) {
		const struct nid_tree *tree = &settings->others[i];

		if (tree->id && nid_is_tree(tree, bpf_skb_ancestor_cgroup_id(skb, tree->level)))
			return true;
	}
	return false;
}

static __always_inline __u64 nid_sending_pod(struct __sk_buff *skb,
					     const struct nid_settings *settings)
{
	__u32 level = settings->kubepods_level;

	return nid_pod_among(settings, bpf_skb_ancestor_cgroup_id(skb, level + 1),
			     bpf_skb_ancestor_cgroup_id(skb, level + 2),
			     bpf_skb_ancestor_cgroup_id(skb, level + 3));
}

#endif
