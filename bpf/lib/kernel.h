/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The kernel types that the programs rely on: only the fields used, relocated
 * against the running kernel's BTF.
 */
#ifndef PODIDENTD_KERNEL_H
#define PODIDENTD_KERNEL_H

#include <linux/types.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
	const char *name;
	/* The struct cgroup of a directory of the cgroup file system. */
	void *priv;
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	int level;
	/* By level, itself included. Since Linux 6.1. */
	struct cgroup *ancestors[];
};

/* Before that. */
struct cgroup___ids {
	__u64 ancestor_ids[];
};

/* A task's cgroups; dfl_cgrp is that of the default hierarchy, cgroup v2. */
struct css_set {
	struct cgroup *dfl_cgrp;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
	/* Since Linux 5.12, given when the namespace is made. */
	__u64 net_cookie;
};

/* Before that: 0 until a program asks for it. */
struct net___counted {
	struct {
		__s64 counter;
	} net_cookie;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct nsproxy {
	struct net *net_ns;
};

struct sock_common {
	unsigned short skc_family;
	unsigned char skc_ipv6only : 1;
	possible_net_t skc_net;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 snd_una;
};

struct inode {
	unsigned short i_mode;
	/* The struct kernfs_node of a file of kernfs. */
	void *i_private;
};

struct file {
	struct inode *f_inode;
	/* The struct socket of a socket. */
	void *private_data;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct unix_sock {
	struct sock sk;
	/* The other end of a connection. */
	struct sock *peer;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct pid_namespace {
	struct ns_common ns;
};

/* A process's ID in one PID namespace. */
struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	/* The level of the innermost namespace. */
	unsigned int level;
	/* By level, the initial namespace first. */
	struct upid numbers[];
};

struct task_struct {
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	int tgid;
};

struct net_device {
	unsigned int flags;
};

struct nf_hook_state {
	__u8 hook;
	__u8 pf;
	struct net_device *in;
};

struct sk_buff {
	unsigned char *data;
};

struct bpf_nf_ctx {
	const struct nf_hook_state *state;
	struct sk_buff *skb;
};

#pragma clang attribute pop

#endif
