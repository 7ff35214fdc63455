// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Tells the agent of every cgroup made or removed near the kubepods root.
 *
 * tp_btf/cgroup_mkdir, tp_btf/cgroup_rmdir
 *
 * And of those made at the level of the root itself, one of which may take its place.
 *
 * Workloads with writable cgroups may nest as deep as they like; nothing below
 * NID_ANCESTORS levels is reported, because nothing there names a pod.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <stdbool.h>
#include "lib/kernel.h"
#include "lib/maps.h"

/* key:     none; a queue of struct nid_cgroup_event
 * writer:  the two hooks
 * deleter: the agent's event thread
 * size:    8,192 events: a node that starts 110 pods at once makes about 500
 * full:    the event is lost and counted (NID_STAT_CGROUP_EVENT_LOST); the agent
 *          then walks the tree once, and look-ups by ID cover the time between
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} nid_cgroup_events SEC(".maps");

/* Levels between the cgroup and the kubepods root, or 0 if it is not below it
 * or too deep. `self` is the first member of struct cgroup, so a css of the
 * default hierarchy is its cgroup.
 */
static __always_inline __u32 depth_below_kubepods(struct cgroup *cgroup)
{
	__u32 zero = 0;
	const struct nid_settings *settings = bpf_map_lookup_elem(&nid_settings, &zero);
	struct cgroup *ancestor = cgroup;

	if (!settings || !settings->kubepods_id)
		return 0;
	for (__u32 depth = 1; depth <= NID_ANCESTORS; depth++) {
		ancestor = (struct cgroup *)BPF_CORE_READ(ancestor, self.parent);
		if (!ancestor)
			return 0;
		if (BPF_CORE_READ(ancestor, kn, id) == settings->kubepods_id)
			return depth;
	}
	return 0;
}

/* At the level of the kubepods root: the next one, if the kubelet makes it again.
 * Rare, and told apart by its path, which the agent knows.
 */
static __always_inline bool may_be_kubepods(struct cgroup *cgroup)
{
	__u32 zero = 0;
	const struct nid_settings *settings = bpf_map_lookup_elem(&nid_settings, &zero);

	return settings && settings->kubepods_id &&
	       (__u32)BPF_CORE_READ(cgroup, level) == settings->kubepods_level;
}

static __always_inline int report(struct cgroup *cgroup, enum nid_cgroup_event_kind kind)
{
	__u32 depth = depth_below_kubepods(cgroup);
	struct nid_cgroup_event *event;

	if (!depth && !(kind == NID_CGROUP_MADE && may_be_kubepods(cgroup)))
		return 0;
	event = bpf_ringbuf_reserve(&nid_cgroup_events, sizeof(*event), 0);
	if (!event) {
		nid_count(NID_STAT_CGROUP_EVENT_LOST);
		return 0;
	}
	event->id = BPF_CORE_READ(cgroup, kn, id);
	event->kind = kind;
	event->depth = depth;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(nid_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	return report(cgroup, NID_CGROUP_MADE);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(nid_cgroup_rmdir, struct cgroup *cgroup, const char *path)
{
	return report(cgroup, NID_CGROUP_REMOVED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
