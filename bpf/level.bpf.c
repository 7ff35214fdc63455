// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Reads what the kernel tells no process: the level of a cgroup that the caller has
 * open, and the cgroups of both ends of a Unix connection. Before Linux 5.14 also the
 * cookie of its network namespace.
 *
 * raw_tp, attached nowhere: run by BPF_PROG_TEST_RUN (Linux 5.10), in the caller's own
 * context.
 *
 * nid_level      arguments: a descriptor of the cgroup's directory, and its ID. Result:
 *                the level, or a negative error number
 * nid_peer       argument: a descriptor of a connected Unix socket that was accepted.
 *                Leaves the cgroups in nid_connector_cgroup and nid_creator_cgroup.
 *                Result: 0, or a negative error number
 * nid_namespace  leaves the cookie in nid_own_cookie
 *
 * No path tells the level: a node may live in a cgroup namespace of its own (kind, k3d),
 * whose root is at no level that anything inside can see. Newer kernels have iterators
 * and kfuncs for the same (6.1, 6.4); this works on all that the agent runs on.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "lib/cookie.h"
#include "lib/kernel.h"

#define EBADF 9
#define EINVAL 22
#define ENOTSOCK 88
#define EOPNOTSUPP 95
#define EAFNOSUPPORT 97
#define ENOTCONN 107

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define AF_UNIX 1

static __always_inline struct file *file_of(unsigned int descriptor)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + descriptor);
	return file;
}

SEC("raw_tp")
int nid_level(struct bpf_raw_tracepoint_args *ctx)
{
	struct file *file = file_of(ctx->args[0]);
	struct kernfs_node *node;
	struct cgroup *cgroup;

	if (!file)
		return -EBADF;
	node = BPF_CORE_READ(file, f_inode, i_private);
	if (!node || BPF_CORE_READ(node, id) != ctx->args[1])
		return -EINVAL;
	/* The kernel takes it away when the cgroup is gone. */
	cgroup = BPF_CORE_READ(node, priv);
	if (!cgroup || BPF_CORE_READ(cgroup, kn) != node)
		return -EINVAL;
	return BPF_CORE_READ(cgroup, level);
}

static __always_inline __u64 cgroup_of(struct sock *sock)
{
	return BPF_CORE_READ(sock, sk_cgrp_data.cgroup, kn, id);
}

__u64 nid_connector_cgroup = 0;
__u64 nid_creator_cgroup = 0;

/* A socket keeps the cgroup of the task that made it. connect(2) makes the socket that
 * accept(2) returns, in the context of the task that connects.
 */
SEC("raw_tp")
int nid_peer(struct bpf_raw_tracepoint_args *ctx)
{
	struct file *file = file_of(ctx->args[0]);
	struct socket *socket;
	struct sock *accepted;
	struct sock *peer;

	nid_connector_cgroup = 0;
	nid_creator_cgroup = 0;
	/* Without the field (before Linux 5.15) what is below must not be reached, or the
	 * whole object does not load.
	 */
	if (!bpf_core_type_exists(struct unix_sock) ||
	    !bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return -EOPNOTSUPP;
	if (!file)
		return -EBADF;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return -ENOTSOCK;
	socket = BPF_CORE_READ(file, private_data);
	if (!socket || BPF_CORE_READ(socket, file) != file)
		return -ENOTSOCK;
	accepted = BPF_CORE_READ(socket, sk);
	if (!accepted || BPF_CORE_READ(accepted, __sk_common.skc_family) != AF_UNIX)
		return -EAFNOSUPPORT;
	/* Held by the accepted socket, also after the other end was closed. */
	peer = BPF_CORE_READ((struct unix_sock *)accepted, peer);
	if (!peer)
		return -ENOTCONN;
	nid_connector_cgroup = cgroup_of(accepted);
	nid_creator_cgroup = cgroup_of(peer);
	return 0;
}

__u64 nid_own_cookie = 0;

SEC("raw_tp")
int nid_namespace(void *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();

	nid_own_cookie = nid_cookie_of(BPF_CORE_READ(task, nsproxy, net_ns));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
