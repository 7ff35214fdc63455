// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Redirects pods' connections to the metadata addresses to the agent's listener in the
 * caller's own network namespace, and refuses those to other protected endpoints.
 *
 * cgroup/connect4, cgroup/connect6          note the caller, rewrite the address
 * cgroup/getpeername4, cgroup/getpeername6  keep the illusion for the caller; give
 *                                           the agent's accepted socket its tag, when
 *                                           accept() asks for the peer's address
 * cgroup/bind4, cgroup/bind6                keep the agent's ports for the agent
 *
 * Attached to the root of the cgroup v2 hierarchy: a socket's hooks are those of
 * the cgroup that it was created in, which need not be the caller's. The current
 * task's ancestors decide which pod it is.
 *
 * Every process pays: a connect one look at the last word, a bind one at the port.
 * Asking for a peer's address, which accept() does too, costs two at the socket's storage.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "lib/creator.h"
#include "lib/destination.h"
#include "lib/note.h"
#include "lib/ports.h"
#include "lib/takeover.h"
#include "lib/way.h"

#define CALL_REFUSED 0
#define CALL_ALLOWED 1

/* Constant from load to unload. */
const volatile struct nid_endpoints nid_endpoints = {};
/* Ports that the agent may listen at, in host order. What is held goes to the last. */
const volatile __u16 nid_first_port = 0;
const volatile __u16 nid_last_port = 0;
/* bpf_set_retval (kernel 5.18): without it a refused caller sees EPERM. */
const volatile bool nid_has_set_retval = false;

static __always_inline int refuse_with(int error, enum nid_stat reason)
{
	nid_count(reason);
	if (nid_has_set_retval)
		bpf_set_retval(-error);
	return CALL_REFUSED;
}

static __always_inline enum nid_verdict refuse(enum nid_stat reason)
{
	refuse_with(ECONNREFUSED, reason);
	return NID_REFUSE;
}

static __always_inline bool is_agents_port(struct bpf_sock_addr *ctx)
{
	__u16 port = bpf_ntohs((__u16)ctx->user_port);

	return port >= nid_first_port && port <= nid_last_port && ctx->type == SOCK_STREAM;
}

/* A socket that goes to the loopback address by itself now is not the redirected one. */
static __always_inline int pass(struct bpf_sock_addr *ctx, bool is_loopback)
{
	if (is_loopback && is_agents_port(ctx) && nid_is_uninvited(ctx))
		return refuse_with(ECONNREFUSED, NID_STAT_REFUSED_WAITING);
	if (is_loopback && ctx->sk && bpf_sk_storage_get(&nid_notes, ctx->sk, NULL, 0))
		bpf_sk_storage_delete(&nid_notes, ctx->sk);
	return CALL_ALLOWED;
}

/* The verdict on a destination, by its port and the pod's policy. */
static __always_inline enum nid_verdict judge(struct bpf_sock_addr *ctx,
					      const struct nid_address *destination, __u64 pod)
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
		return refuse(NID_STAT_REFUSED_POLICY);
	default:
		return verdict == NID_REFUSE ? refuse(NID_STAT_REFUSED_PORT) : verdict;
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
	return refuse(NID_STAT_REFUSED_OTHER_TREE);
}

/* Notes the caller, and tells where its connection is redirected. */
static __always_inline enum nid_verdict lead(struct bpf_sock_addr *ctx,
					     const struct nid_settings *settings, __u64 pod,
					     const struct nid_address *destination,
					     struct nid_way *way)
{
	__u64 netns_cookie = bpf_get_netns_cookie(ctx);
	const struct nid_listener *listener = nid_listener_of(netns_cookie);
	struct nid_note *note;

	if (listener && listener->state != NID_LISTENER_OPEN)
		return refuse(NID_STAT_REFUSED_NAMESPACE);
	if (!ctx->sk || !nid_is_made_by(ctx->sk, settings, pod))
		return refuse(NID_STAT_REFUSED_CREATOR);
	if (!nid_free_from_device(ctx))
		return refuse(NID_STAT_REFUSED_DEVICE);
	if (listener && netns_cookie == settings->node_netns_cookie && !nid_may_wait(pod))
		return refuse(NID_STAT_REFUSED_WAITING);
	note = nid_write_note(ctx, settings->kubepods_level, pod, netns_cookie, destination);
	if (!note)
		return refuse(NID_STAT_REFUSED_NO_NOTE);
	*way = nid_way_to(listener, ctx->sk, destination, nid_last_port);
	if (!listener)
		nid_begin_hold(note, ctx->sk, settings);
	nid_count_redirect(pod);
	nid_count(NID_STAT_REDIRECTED);
	return NID_REDIRECT;
}

/* The verdict on a destination that the filter lets through. */
static __always_inline enum nid_verdict judge_connect(struct bpf_sock_addr *ctx,
						      const struct nid_address *destination,
						      struct nid_way *way)
{
	const struct nid_settings *settings;
	enum nid_verdict verdict;
	__u64 pod;

	if (!nid_is_protected(&nid_endpoints, destination))
		return NID_PASS;
	settings = nid_settings_of_pod();
	if (!settings)
		return judge_outsider(ctx, destination);
	pod = nid_current_pod(settings);
	verdict = judge(ctx, destination, pod);
	return verdict == NID_REDIRECT ? lead(ctx, settings, pod, destination, way) : verdict;
}

SEC("cgroup/connect4")
int nid_connect4(struct bpf_sock_addr *ctx)
{
	__u32 address = ctx->user_ip4;
	/* The unspecified address goes there as well. */
	bool is_loopback = address == NID_LOOPBACK4 || !address;
	struct nid_address destination;
	enum nid_verdict verdict;
	struct nid_way way = {};

	if (!nid_may_be_protected(&nid_endpoints, address))
		return pass(ctx, is_loopback);
	destination = nid_mapped(address);
	verdict = judge_connect(ctx, &destination, &way);
	if (verdict != NID_REDIRECT)
		return verdict == NID_REFUSE ? CALL_REFUSED : pass(ctx, is_loopback);
	ctx->user_ip4 = NID_LOOPBACK4;
	ctx->user_port = bpf_htons(way.port);
	return CALL_ALLOWED;
}

SEC("cgroup/connect6")
int nid_connect6(struct bpf_sock_addr *ctx)
{
	__u32 last = ctx->user_ip6[3];
	bool is_loopback = nid_is_loopback6(ctx, last);
	struct nid_address destination;
	enum nid_verdict verdict;
	struct nid_way way = {};

	if (!nid_may_be_protected(&nid_endpoints, last))
		return pass(ctx, is_loopback);
	destination = (struct nid_address){
		.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], last },
	};
	verdict = judge_connect(ctx, &destination, &way);
	if (verdict != NID_REDIRECT)
		return verdict == NID_REFUSE ? CALL_REFUSED : pass(ctx, is_loopback);
	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	ctx->user_ip6[2] = way.is_ipv6 ? 0 : NID_MAPPED_PREFIX;
	ctx->user_ip6[3] = way.is_ipv6 ? NID_LOOPBACK6_LAST : NID_LOOPBACK4;
	ctx->user_port = bpf_htons(way.port);
	return CALL_ALLOWED;
}

/* The accepted socket's tag if no hook has looked for its caller yet. */
static __always_inline struct nid_tag *unclaimed(struct bpf_sock *socket)
{
	struct nid_tag *tag = bpf_sk_storage_get(&nid_tags, socket, NULL, 0);

	return tag && tag->state == NID_TAG_UNCLAIMED ? tag : NULL;
}

/* Puts the destination that the caller asked for in the place of the agent's listener. */
static __always_inline void show_destination(struct bpf_sock_addr *ctx, const struct nid_tag *tag,
					     bool is_ipv6)
{
	if (!is_ipv6) {
		if (ctx->user_ip4 != NID_LOOPBACK4)
			return;
		ctx->user_ip4 = tag->destination.word[3];
	} else {
		if (ctx->user_ip6[3] != NID_LOOPBACK4 && ctx->user_ip6[3] != NID_LOOPBACK6_LAST)
			return;
		ctx->user_ip6[0] = tag->destination.word[0];
		ctx->user_ip6[1] = tag->destination.word[1];
		ctx->user_ip6[2] = tag->destination.word[2];
		ctx->user_ip6[3] = tag->destination.word[3];
	}
	ctx->user_port = bpf_htons(tag->destination_port);
}

/* `is_ipv6` as for nid_take_over(). */
static __always_inline int name_peer(struct bpf_sock_addr *ctx, bool is_ipv6)
{
	struct bpf_sock *socket = ctx->sk;
	const struct nid_note *note;
	struct nid_tag *tag;

	if (!socket)
		return CALL_ALLOWED;
	tag = unclaimed(socket);
	if (tag) {
		nid_take_over(ctx, socket, tag, is_ipv6);
		return CALL_ALLOWED;
	}
	note = bpf_sk_storage_get(&nid_notes, socket, NULL, 0);
	if (note)
		show_destination(ctx, &note->tag, is_ipv6);
	return CALL_ALLOWED;
}

SEC("cgroup/getpeername4")
int nid_getpeername4(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, false);
}

SEC("cgroup/getpeername6")
int nid_getpeername6(struct bpf_sock_addr *ctx)
{
	return name_peer(ctx, true);
}

static __always_inline int judge_bind(struct bpf_sock_addr *ctx)
{
	if (!is_agents_port(ctx) || !nid_is_others_bind(ctx))
		return CALL_ALLOWED;
	return refuse_with(EADDRINUSE, NID_STAT_REFUSED_BIND);
}

SEC("cgroup/bind4")
int nid_bind4(struct bpf_sock_addr *ctx)
{
	return judge_bind(ctx);
}

SEC("cgroup/bind6")
int nid_bind6(struct bpf_sock_addr *ctx)
{
	return judge_bind(ctx);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
