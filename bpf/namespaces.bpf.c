// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Finds the network namespaces in which pods' processes run, so that the agent
 * listens there before the first of them connects.
 *
 * tp_btf/sched_process_exec  a pod's process was executed: a runtime executes the
 *                            pod's first long before the application's
 * iter/task                  those that run already, when the agent starts
 *
 * Which namespace a process is in is the kernel's word: nothing is read from /proc, and
 * no process can hide there.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "lib/creator.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/namespaces.h"
#include "lib/pods.h"
#include "lib/process.h"

/* The context of a program that iterates over tasks: NULL after the last one. */
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("tp_btf/sched_process_exec")
int BPF_PROG(nid_exec, struct task_struct *task)
{
	const struct nid_settings *settings = nid_settings_of_pod();
	struct nid_namespace_event event = { .reason = NID_NAMESPACE_EXEC };
	struct net *net;

	if (!settings)
		return 0;
	net = BPF_CORE_READ(task, nsproxy, net_ns);
	event.netns_cookie = nid_cookie_of(net);
	/* 0: no hook has asked for it yet. */
	if (!event.netns_cookie || nid_listener_of(event.netns_cookie) ||
	    nid_was_asked_for(event.netns_cookie, bpf_ktime_get_ns()))
		return 0;
	event.netns_inode = BPF_CORE_READ(net, ns.inum);
	event.pid = nid_process_of(task, settings);
	event.leaf = bpf_get_current_cgroup_id();
	event.pod = nid_current_pod(settings);
	nid_report_namespace(&event);
	return 0;
}

/* Writes one event for each task of a pod: who reads them sorts them. */
SEC("iter/task")
int nid_walk(struct bpf_iter__task *ctx)
{
	const struct nid_settings *settings = nid_settings_of_node();
	struct nid_namespace_event event = { .reason = NID_NAMESPACE_WALK };
	struct task_struct *task = ctx->task;
	struct cgroup *cgroup;
	struct net *net;
	__u32 level;

	if (!settings || !task)
		return 0;
	level = settings->kubepods_level;
	cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	if (!cgroup || nid_ancestor_id(cgroup, level) != settings->kubepods_id)
		return 0;
	/* NULL: it is about to end. */
	net = BPF_CORE_READ(task, nsproxy, net_ns);
	if (!net)
		return 0;
	event.netns_cookie = nid_cookie_of(net);
	event.netns_inode = BPF_CORE_READ(net, ns.inum);
	event.pid = nid_process_of(task, settings);
	event.leaf = BPF_CORE_READ(cgroup, kn, id);
	event.pod = nid_pod_among(settings, nid_ancestor_id(cgroup, level + 1),
				  nid_ancestor_id(cgroup, level + 2),
				  nid_ancestor_id(cgroup, level + 3));
	bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
