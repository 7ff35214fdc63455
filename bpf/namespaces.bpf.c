// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Finds the network namespaces in which pods' processes run, so that the agent
 * listens there before the first of them connects.
 *
 * tp_btf/task_newtask        a pod's process made another: a runtime's do so after they
 *                            have made or entered a namespace, long before they
 *                            execute anything
 * tp_btf/cgroup_attach_task  a process was moved into a pod, with its namespace
 * tp_btf/sched_process_exec  a pod's process was executed
 * iter/task                  those that run already, when the agent starts
 *
 * The kernel says which namespace a process is in: nothing is read from /proc, and no
 * process can hide there.
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

/* include/uapi/linux/sched.h */
#define CLONE_THREAD 0x00010000ULL

/* The context of a program that iterates over tasks: NULL after the last one. */
struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

/* Whether the agent has nothing to open in a namespace: it listens there for both
 * families, or has decided not to listen.
 */
static __always_inline bool is_served(__u64 netns_cookie)
{
	const struct nid_listener *listener = nid_listener_of(netns_cookie);

	return listener && (listener->state != NID_LISTENER_OPEN ||
			    listener->families == (NID_LISTENER_IPV4 | NID_LISTENER_IPV6));
}

static __always_inline bool is_news(__u64 netns_cookie)
{
	/* 0: no hook has asked for it yet. */
	return netns_cookie && !is_served(netns_cookie) &&
	       !nid_was_asked_for(netns_cookie, bpf_ktime_get_ns());
}

/* Describes the namespace of any task. Returns false if the task is no pod's, or ends.
 * The helpers that know the current task's cgroups are not for these programs before
 * Linux 5.15.
 */
static __always_inline bool describe(struct task_struct *task, const struct nid_settings *settings,
				     struct nid_namespace_event *event)
{
	struct cgroup *cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	__u32 level = settings->kubepods_level;
	struct net *net;

	if (!cgroup || nid_ancestor_id(cgroup, level) != settings->kubepods_id)
		return false;
	net = BPF_CORE_READ(task, nsproxy, net_ns);
	if (!net)
		return false;
	event->netns_cookie = nid_cookie_of(net);
	event->netns_inode = BPF_CORE_READ(net, ns.inum);
	event->pid = nid_process_of(task, settings);
	event->leaf = BPF_CORE_READ(cgroup, kn, id);
	event->pod = nid_pod_among(settings, nid_ancestor_id(cgroup, level + 1),
				   nid_ancestor_id(cgroup, level + 2),
				   nid_ancestor_id(cgroup, level + 3));
	return true;
}

static __always_inline void report(struct task_struct *task, enum nid_namespace_reason reason)
{
	const struct nid_settings *settings = nid_settings_of_node();
	struct nid_namespace_event event = { .reason = reason };

	if (settings && describe(task, settings, &event) && is_news(event.netns_cookie))
		nid_report_namespace(&event);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(nid_exec, struct task_struct *task)
{
	report(task, NID_NAMESPACE_EXEC);
	return 0;
}

/* A thread is where its process is. */
SEC("tp_btf/task_newtask")
int BPF_PROG(nid_clone, struct task_struct *task, unsigned long flags)
{
	if (!(flags & CLONE_THREAD))
		report(task, NID_NAMESPACE_ENTER);
	return 0;
}

/* `cgroup` may be one of cgroup v1: the task's own of version 2 counts. */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(nid_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
	report(task, NID_NAMESPACE_ENTER);
	return 0;
}

/* Writes one event for each task of a pod: who reads them sorts them. A namespace without a
 * cookie cannot be told from another: it is reported when it has one.
 */
SEC("iter/task")
int nid_walk(struct bpf_iter__task *ctx)
{
	const struct nid_settings *settings = nid_settings_of_node();
	struct nid_namespace_event event = { .reason = NID_NAMESPACE_WALK };
	struct task_struct *task = ctx->task;

	if (settings && task && describe(task, settings, &event) && event.netns_cookie)
		bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
