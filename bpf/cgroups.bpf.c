// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Reports to the agent every cgroup made or removed between the kubepods root and
 * the container level, and every pod whose last process has ended.
 *
 * tp_btf/cgroup_mkdir, tp_btf/cgroup_rmdir, tp_btf/cgroup_notify_populated
 *
 * Reports as well what is made where a kubepods root may be: at the level of the
 * known one, whose place it may take, and under the name of one, wherever root makes
 * it: another kubelet's.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <stdbool.h>
#include "lib/creator.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/pods.h"

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

#define KUBEPODS "kubepods"
#define KUBEPODS_SLICE "kubepods.slice"

/* Levels between the cgroup and the kubepods root, or 0 if it is not below it
 * or deeper than a container can be. `self` is the first member of struct cgroup,
 * so a css of the default hierarchy is its cgroup.
 */
static __always_inline __u32 depth_below_kubepods(struct cgroup *cgroup,
						  const struct nid_settings *settings)
{
	struct cgroup *ancestor = cgroup;

	for (__u32 depth = 1; depth <= NID_CONTAINER_DEPTH_MAX; depth++) {
		ancestor = (struct cgroup *)BPF_CORE_READ(ancestor, self.parent);
		if (!ancestor)
			return 0;
		if (BPF_CORE_READ(ancestor, kn, id) == settings->kubepods_id)
			return depth;
	}
	return 0;
}

static __always_inline bool is_wanted(struct cgroup *cgroup, const struct nid_settings *settings,
				      __u32 depth)
{
	__u32 level = settings->kubepods_level;

	return nid_is_reported(settings, depth, nid_ancestor_id(cgroup, level + 1),
			       nid_ancestor_id(cgroup, level + 2),
			       nid_ancestor_id(cgroup, level + 3));
}

/* Whether the name is one that kubelets give to kubepods under either driver:
 * `kubepods`, `kubepods.slice` or `PARENT-kubepods.slice`. The agent reads the path.
 */
static __always_inline bool is_named_kubepods(struct cgroup *cgroup)
{
	const char *name = BPF_CORE_READ(cgroup, kn, name);
	/* The kernel's limit is a page's length, and no systemd unit has more than 255. */
	char text[256];
	char tail[sizeof(KUBEPODS_SLICE)] = {};
	long length = bpf_probe_read_kernel_str(text, sizeof(text), name);

	if (length == sizeof(KUBEPODS))
		return !__builtin_memcmp(text, KUBEPODS, sizeof(KUBEPODS) - 1);
	if (length < (long)sizeof(tail))
		return false;
	if (bpf_probe_read_kernel(tail, sizeof(tail), name + length - sizeof(tail)))
		return false;
	return !__builtin_memcmp(tail, KUBEPODS_SLICE, sizeof(tail));
}

/* At the level of the kubepods root: the next one, if the kubelet makes it again.
 * Elsewhere by its name; users with cgroups of their own may choose names, but are
 * no kubelets. Both are rare, and the agent judges by the path.
 */
static __always_inline bool may_be_kubepods(struct cgroup *cgroup,
					    const struct nid_settings *settings)
{
	if ((__u32)BPF_CORE_READ(cgroup, level) == settings->kubepods_level)
		return true;
	return !(__u32)bpf_get_current_uid_gid() && is_named_kubepods(cgroup);
}

static __always_inline bool is_below_kubepods(struct cgroup *cgroup,
					      const struct nid_settings *settings)
{
	return nid_ancestor_id(cgroup, settings->kubepods_level) == settings->kubepods_id;
}

static __always_inline int report(struct cgroup *cgroup, enum nid_cgroup_event_kind kind)
{
	const struct nid_settings *settings = nid_settings_of_node();
	struct nid_cgroup_event *event;
	__u32 depth;

	if (!settings)
		return 0;
	depth = depth_below_kubepods(cgroup, settings);
	if (depth ? !is_wanted(cgroup, settings, depth) :
		    kind != NID_CGROUP_MADE || is_below_kubepods(cgroup, settings) ||
			    !may_be_kubepods(cgroup, settings))
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

/* An empty pod may yet run again: only its removal is final. */
SEC("tp_btf/cgroup_notify_populated")
int BPF_PROG(nid_cgroup_populated, struct cgroup *cgroup, const char *path, int is_populated)
{
	return is_populated ? 0 : report(cgroup, NID_CGROUP_EMPTIED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
