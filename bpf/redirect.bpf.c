// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Redirects pods' connections to the metadata addresses to the agent, and refuses
 * those to other protected endpoints.
 *
 * cgroup/connect4, cgroup/connect6          note the caller, rewrite the address
 * cgroup/sendmsg4, cgroup/sendmsg6          refuse UDP that never connects
 * cgroup/getpeername4, cgroup/getpeername6  keep the illusion for the caller
 *
 * Attached to the root of the cgroup v2 hierarchy, because a socket's hooks are
 * those of the cgroup it was created in, which need not be the caller's. Who is
 * a pod is decided by the current task's ancestors.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/creator.h"
#include "lib/destination.h"
#include "lib/maps.h"
#include "lib/pods.h"

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOL_SOCKET 1
#define SO_MARK 36
#define ECONNREFUSED 111

#define CONNECT_REFUSED 0
#define CONNECT_ALLOWED 1

/* Constant from load to unload. */
const volatile struct nid_endpoints nid_endpoints = {};
/* Network order. */
const volatile __u32 nid_agent_ip4 = 0;
const volatile struct nid_address nid_agent_ip6 = {};
/* Network order. */
const volatile __u16 nid_agent_port = 0;
/* 0: none. Lets meshes that capture outbound traffic pass the connection. */
const volatile __u32 nid_socket_mark = 0;
/* bpf_set_retval (kernel 5.18): without it a refused caller sees EPERM. */
const volatile bool nid_has_set_retval = false;

static __always_inline int refuse(enum nid_stat reason)
{
	nid_count(reason);
	if (nid_has_set_retval)
		bpf_set_retval(-ECONNREFUSED);
	return CONNECT_REFUSED;
}

static __always_inline bool write_note(struct bpf_sock_addr *ctx, __u32 kubepods_level,
				       __u64 pod, const struct nid_address *destination,
				       enum nid_tag_state state)
{
	struct nid_note *note;

	if (!ctx->sk)
		return false;
	note = bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!note)
		return false;
	note->claimed = 0;
	for (int i = 0; i < NID_ANCESTORS; i++)
		note->tag.ancestors[i] =
			bpf_get_current_ancestor_cgroup_id(kubepods_level + 1 + i);
	note->tag.leaf = bpf_get_current_cgroup_id();
	note->tag.pod = pod;
	note->tag.netns_cookie = bpf_get_netns_cookie(ctx);
	note->tag.socket_cookie = bpf_get_socket_cookie(ctx);
	note->tag.destination = *destination;
	note->tag.destination_port = bpf_ntohs((__u16)ctx->user_port);
	note->tag.family = ctx->family;
	note->tag.state = state;
	return true;
}

/* A socket that goes elsewhere now must not be taken for the redirected one it
 * was before.
 */
static __always_inline int pass(struct bpf_sock_addr *ctx)
{
	if (ctx->sk)
		bpf_sk_storage_delete(&nid_notes, ctx->sk);
	return CONNECT_ALLOWED;
}

/* The verdict on a destination, by its port and the pod's policy. */
static __always_inline enum nid_verdict judge(struct bpf_sock_addr *ctx,
					      const struct nid_address *destination, __u64 pod,
					      enum nid_stat reason)
{
	enum nid_verdict verdict =
		nid_judge(&nid_endpoints, destination,
			  bpf_ntohs((__u16)ctx->user_port), ctx->type == SOCK_STREAM);

	if (verdict == NID_PASS)
		return NID_PASS;
	switch (nid_policy_of(pod)) {
	case NID_POLICY_PASSTHROUGH:
		nid_count(NID_STAT_PASSED_THROUGH);
		return NID_PASS;
	case NID_POLICY_DENY:
		refuse(NID_STAT_REFUSED_POLICY);
		return NID_REFUSE;
	default:
		if (verdict == NID_REFUSE)
			refuse(reason);
		return verdict;
	}
}

/* The verdict on a protected destination for a task that is no pod's: the machine
 * itself may go there, what runs in another kubepods tree only where its packets
 * may.
 */
static __always_inline enum nid_verdict judge_outsider(struct bpf_sock_addr *ctx,
						       const struct nid_address *destination)
{
	const struct nid_settings *settings = nid_settings_of_node();

	if (!settings || !nid_is_in_other_tree(settings))
		return NID_PASS;
	if (nid_judge(&nid_endpoints, destination,
		      bpf_ntohs((__u16)ctx->user_port), ctx->type == SOCK_STREAM) == NID_PASS)
		return NID_PASS;
	refuse(NID_STAT_REFUSED_OTHER_TREE);
	return NID_REFUSE;
}

static __always_inline bool is_agent(struct bpf_sock_addr *ctx,
				     const struct nid_address *destination)
{
	struct nid_address ip4 = nid_mapped(nid_agent_ip4);

	return (__u16)ctx->user_port == nid_agent_port && ctx->type == SOCK_STREAM &&
	       (nid_same_address(&ip4, destination) ||
		nid_same_address(&nid_agent_ip6, destination));
}

/* A pod that names the agent's own address gets nothing from it, but gets it at
 * once, and within its limit.
 */
static __always_inline enum nid_verdict judge_direct(struct bpf_sock_addr *ctx,
						     const struct nid_address *destination)
{
	const struct nid_settings *settings = nid_settings_of_pod();
	__u64 pod;

	if (!settings)
		return NID_PASS;
	pod = nid_current_pod(settings);
	if (!nid_may_connect(pod)) {
		refuse(NID_STAT_REFUSED_LIMIT);
		return NID_REFUSE;
	}
	if (!write_note(ctx, settings->kubepods_level, pod, destination, NID_TAG_DIRECT)) {
		refuse(NID_STAT_REFUSED_NO_NOTE);
		return NID_REFUSE;
	}
	return NID_DIRECT;
}

/* Decides, and notes the caller if it is to be led to the agent. */
static __always_inline enum nid_verdict judge_connect(struct bpf_sock_addr *ctx,
						      const struct nid_address *destination)
{
	const struct nid_settings *settings;
	enum nid_verdict verdict;
	__u64 pod;

	if (!nid_is_protected(&nid_endpoints, destination))
		return is_agent(ctx, destination) ? judge_direct(ctx, destination) : NID_PASS;
	settings = nid_settings_of_pod();
	if (!settings)
		return judge_outsider(ctx, destination);
	pod = nid_current_pod(settings);
	verdict = judge(ctx, destination, pod, NID_STAT_REFUSED_PORT);
	if (verdict != NID_REDIRECT)
		return verdict;
	if (!ctx->sk || !nid_is_made_by(ctx->sk, settings, pod)) {
		refuse(NID_STAT_REFUSED_CREATOR);
		return NID_REFUSE;
	}
	if (!nid_may_connect(pod)) {
		refuse(NID_STAT_REFUSED_LIMIT);
		return NID_REFUSE;
	}
	if (!write_note(ctx, settings->kubepods_level, pod, destination, NID_TAG_CLAIMED)) {
		refuse(NID_STAT_REFUSED_NO_NOTE);
		return NID_REFUSE;
	}
	if (nid_socket_mark) {
		__u32 mark = nid_socket_mark;

		bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	}
	nid_count(NID_STAT_REDIRECTED);
	return NID_REDIRECT;
}

SEC("cgroup/connect4")
int nid_connect4(struct bpf_sock_addr *ctx)
{
	struct nid_address destination = nid_mapped(ctx->user_ip4);

	switch (judge_connect(ctx, &destination)) {
	case NID_REDIRECT:
		ctx->user_ip4 = nid_agent_ip4;
		ctx->user_port = nid_agent_port;
		return CONNECT_ALLOWED;
	case NID_DIRECT:
		return CONNECT_ALLOWED;
	case NID_REFUSE:
		return CONNECT_REFUSED;
	default:
		return pass(ctx);
	}
}

SEC("cgroup/connect6")
int nid_connect6(struct bpf_sock_addr *ctx)
{
	struct nid_address destination = {
		.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] },
	};

	switch (judge_connect(ctx, &destination)) {
	case NID_REDIRECT:
		if (destination.word[2] == NID_MAPPED_PREFIX && !destination.word[0] &&
		    !destination.word[1]) {
			ctx->user_ip6[3] = nid_agent_ip4;
		} else {
			ctx->user_ip6[0] = nid_agent_ip6.word[0];
			ctx->user_ip6[1] = nid_agent_ip6.word[1];
			ctx->user_ip6[2] = nid_agent_ip6.word[2];
			ctx->user_ip6[3] = nid_agent_ip6.word[3];
		}
		ctx->user_port = nid_agent_port;
		return CONNECT_ALLOWED;
	case NID_DIRECT:
		return CONNECT_ALLOWED;
	case NID_REFUSE:
		return CONNECT_REFUSED;
	default:
		return pass(ctx);
	}
}

static __always_inline int judge_datagram(struct bpf_sock_addr *ctx,
					  const struct nid_address *destination)
{
	const struct nid_settings *settings;

	if (!nid_is_protected(&nid_endpoints, destination))
		return CONNECT_ALLOWED;
	settings = nid_settings_of_pod();
	if (!settings)
		return judge_outsider(ctx, destination) == NID_PASS ? CONNECT_ALLOWED :
								      CONNECT_REFUSED;
	return judge(ctx, destination, nid_current_pod(settings), NID_STAT_REFUSED_DATAGRAM) ==
			       NID_PASS ?
		       CONNECT_ALLOWED :
		       CONNECT_REFUSED;
}

SEC("cgroup/sendmsg4")
int nid_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct nid_address destination = nid_mapped(ctx->user_ip4);

	return judge_datagram(ctx, &destination);
}

SEC("cgroup/sendmsg6")
int nid_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct nid_address destination = {
		.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] },
	};

	return judge_datagram(ctx, &destination);
}

static __always_inline const struct nid_note *redirected(struct bpf_sock_addr *ctx)
{
	if (!ctx->sk || (__u16)ctx->user_port != nid_agent_port)
		return NULL;
	return bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, 0);
}

SEC("cgroup/getpeername4")
int nid_getpeername4(struct bpf_sock_addr *ctx)
{
	const struct nid_note *note = redirected(ctx);

	if (note) {
		ctx->user_ip4 = note->tag.destination.word[3];
		ctx->user_port = bpf_htons(note->tag.destination_port);
	}
	return CONNECT_ALLOWED;
}

SEC("cgroup/getpeername6")
int nid_getpeername6(struct bpf_sock_addr *ctx)
{
	const struct nid_note *note = redirected(ctx);

	if (note) {
		ctx->user_ip6[0] = note->tag.destination.word[0];
		ctx->user_ip6[1] = note->tag.destination.word[1];
		ctx->user_ip6[2] = note->tag.destination.word[2];
		ctx->user_ip6[3] = note->tag.destination.word[3];
		ctx->user_port = bpf_htons(note->tag.destination_port);
	}
	return CONNECT_ALLOWED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
