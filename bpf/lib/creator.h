/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maker of a socket. The kernel keeps the creator's cgroup with it for life,
 * whichever process holds the descriptor later and wherever the creator is moved.
 */
#ifndef PODIDENTD_CREATOR_H
#define PODIDENTD_CREATOR_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "lib/kernel.h"
#include "lib/pods.h"

static __always_inline __u64 nid_ancestor_id(struct cgroup *cgroup, __u32 level)
{
	struct cgroup *ancestor = NULL;

	if ((int)level > BPF_CORE_READ(cgroup, level))
		return 0;
	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
				      (void *)cgroup +
					      bpf_core_field_offset(struct cgroup, ancestors) +
					      level * sizeof(ancestor));
		return ancestor ? BPF_CORE_READ(ancestor, kn, id) : 0;
	} else {
		__u64 id = 0;

		bpf_probe_read_kernel(&id, sizeof(id),
				      (void *)cgroup +
					      bpf_core_field_offset(struct cgroup___ids, ancestor_ids) +
					      level * sizeof(id));
		return id;
	}
}

/* Whether `pod`, the current task's, made this TCP socket. Which of the pod's
 * containers does not matter, for they share an identity; only while `pod` may be
 * a QoS class must it be the same at every level that tells pods apart. Before
 * Linux 5.15 the field may hold a cgroup v1 class instead and is not read: the
 * check is skipped.
 */
static __always_inline bool nid_is_made_by(void *socket, const struct nid_settings *settings,
					   __u64 pod)
{
	__u32 level = settings->kubepods_level;
	__u64 first, second, third;
	struct tcp_sock *tcp;
	struct cgroup *cgroup;

	if (!bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return true;
	tcp = bpf_skc_to_tcp_sock(socket);
	if (!tcp)
		return false;
	cgroup = BPF_CORE_READ(tcp, inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup);
	if (!cgroup || nid_ancestor_id(cgroup, level) != settings->kubepods_id)
		return false;
	first = nid_ancestor_id(cgroup, level + 1);
	second = nid_ancestor_id(cgroup, level + 2);
	third = nid_ancestor_id(cgroup, level + 3);
	if (nid_pod_among(settings, first, second, third) != pod)
		return false;
	if (!nid_may_be_group(settings, first, pod))
		return true;
	return second == bpf_get_current_ancestor_cgroup_id(level + 2) &&
	       third == bpf_get_current_ancestor_cgroup_id(level + 3);
}

#endif
