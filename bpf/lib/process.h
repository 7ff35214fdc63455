/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A process's ID as the agent sees it. A node may be a container itself (kind, k3d), with
 * a PID namespace of its own, in which every process has another number.
 */
#ifndef PODIDENTD_PROCESS_H
#define PODIDENTD_PROCESS_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "lib/kernel.h"
#include "podidentd_abi.h"

/* MAX_PID_NS_LEVEL of the kernel, and the initial one. */
#define NID_PID_LEVELS 33

/* The ID of a task's process in the agent's PID namespace; 0: it has none there. */
static __always_inline __u32 nid_process_of(struct task_struct *task,
					    const struct nid_settings *settings)
{
	struct pid *pid;
	__u32 level;

	if (!settings->pid_namespace)
		return BPF_CORE_READ(task, tgid);
	pid = BPF_CORE_READ(task, group_leader, thread_pid);
	/* NULL: it is about to end. */
	if (!pid)
		return 0;
	level = BPF_CORE_READ(pid, level);
	for (__u32 i = 0; i < NID_PID_LEVELS; i++) {
		struct upid *number = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      i * bpf_core_type_size(struct upid);

		/* Two bounds for the compiler as well: of the smaller one, which is no constant,
		 * the verifier of Linux 6.1 does not see that it ends the loop.
		 */
		asm volatile("" : "+r"(level));
		if (i > level)
			return 0;
		if (BPF_CORE_READ(number, ns, ns.inum) == settings->pid_namespace)
			return BPF_CORE_READ(number, nr);
	}
	return 0;
}

#endif
