/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The agent's ports at the loopback addresses of the node's network namespace: who may
 * listen there, and who may name them.
 */
#ifndef PODIDENTD_PORTS_H
#define PODIDENTD_PORTS_H

#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include "lib/destination.h"
#include "lib/pods.h"

/* Whether an IPv6 socket goes to the loopback interface by this address. The unspecified
 * addresses go there as well; other addresses end in the same words.
 */
static __always_inline bool nid_is_loopback6(struct bpf_sock_addr *ctx, __u32 last)
{
	if (last != NID_LOOPBACK4 && last != NID_LOOPBACK6_LAST && last)
		return false;
	return !(ctx->user_ip6[0] | ctx->user_ip6[1]) &&
	       (!ctx->user_ip6[2] || ctx->user_ip6[2] == NID_MAPPED_PREFIX);
}

/* Whether a process that binds one of the agent's ports is not the agent: a process that
 * listened there would answer hostNetwork pods while the agent is away.
 */
static __always_inline bool nid_is_others_bind(struct bpf_sock_addr *ctx)
{
	/* Asked for every process that binds such a port: see lib/cookie.h. */
	__u64 netns_cookie = bpf_get_netns_cookie(ctx);
	const struct nid_settings *settings = nid_settings_of_node();

	return settings && settings->node_netns_cookie &&
	       netns_cookie == settings->node_netns_cookie &&
	       bpf_get_current_cgroup_id() != settings->agent_cgroup;
}

/* Whether a pod that names one of the agent's ports does so in the node's network namespace.
 * The agent knows no pod of such a connection, and no pod's count has it. It waits in the queue
 * that all pods of that namespace share; in a pod's own namespace the queue is the pod's.
 */
static __always_inline bool nid_is_uninvited(struct bpf_sock_addr *ctx)
{
	const struct nid_settings *settings = nid_settings_of_pod();

	return settings && settings->node_netns_cookie &&
	       bpf_get_netns_cookie(ctx) == settings->node_netns_cookie;
}

#endif
