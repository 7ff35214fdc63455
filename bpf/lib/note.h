/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The note of a redirected socket: who connects, and from where. */
#ifndef PODIDENTD_NOTE_H
#define PODIDENTD_NOTE_H

#include <bpf/bpf_endian.h>
#include "lib/namespaces.h"
#include "lib/process.h"

static __always_inline __u32 nid_inode_of(void *socket)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(socket);

	return tcp ? BPF_CORE_READ(tcp, inet_conn.icsk_inet.sk.__sk_common.skc_net.net, ns.inum) :
		     0;
}

/* NULL: no memory. */
static __always_inline struct nid_note *
nid_write_note(struct bpf_sock_addr *ctx, __u32 kubepods_level, __u64 pod, __u64 netns_cookie,
	       const struct nid_address *destination)
{
	struct nid_note *note;

	if (!ctx->sk)
		return NULL;
	note = bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!note)
		return NULL;
	for (int i = 0; i < NID_ANCESTORS; i++)
		note->tag.ancestors[i] =
			bpf_get_current_ancestor_cgroup_id(kubepods_level + 1 + i);
	note->tag.leaf = bpf_get_current_cgroup_id();
	note->tag.pod = pod;
	note->tag.netns_cookie = netns_cookie;
	note->tag.socket_cookie = bpf_get_socket_cookie(ctx);
	note->tag.destination = *destination;
	note->tag.destination_port = bpf_ntohs((__u16)ctx->user_port);
	note->tag.family = ctx->family;
	note->tag.state = NID_TAG_CLAIMED;
	note->held_since = 0;
	return note;
}

static __always_inline void nid_report_note(const struct nid_note *note,
					    enum nid_namespace_reason reason)
{
	struct nid_namespace_event event = {
		.netns_cookie = note->tag.netns_cookie,
		.pod = note->tag.pod,
		.leaf = note->tag.leaf,
		.netns_inode = note->netns_inode,
		.pid = note->pid,
		.reason = reason,
	};

	nid_report_namespace(&event);
}

/* The connection begins before its namespace has a listener: its SYN is held
 * by the egress guard.
 */
static __always_inline void nid_begin_hold(struct nid_note *note, void *socket,
					   const struct nid_settings *settings)
{
	__u64 now = bpf_ktime_get_ns();

	note->held_since = now;
	note->pid = nid_process_of((void *)bpf_get_current_task(), settings);
	note->netns_inode = nid_inode_of(socket);
	nid_count(NID_STAT_HELD);
	if (!nid_was_asked_for(note->tag.netns_cookie, now))
		nid_report_note(note, NID_NAMESPACE_CONNECT);
}

#endif
