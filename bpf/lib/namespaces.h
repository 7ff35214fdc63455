/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Reports to the agent the network namespaces in which it is to listen. */
#ifndef PODIDENTD_NAMESPACES_H
#define PODIDENTD_NAMESPACES_H

#include "lib/cookie.h"
#include "lib/maps.h"
#include "lib/passed.h"
#include "lib/pods.h"

/* key:     none; a queue of struct nid_namespace_event
 * writer:  the connect hooks, the egress guard, the programs of namespaces.bpf.c
 * deleter: the thread of the agent that loaded the programs. Not pinned: it is the
 *          latest agent's, and after that agent's end no agent's
 * size:    5,000 events: 80 pods' whole share of one window
 * full:    the event is lost and counted (NID_STAT_NAMESPACE_EVENT_LOST); the
 *          connection that waits brings the next one
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} nid_namespaces SEC(".maps");

struct asked {
	__u64 netns_cookie;
	__u64 until;
};

/* key:     a hash of a network namespace's cookie
 * writer:  the hook that reports a namespace; each object has a map of its own
 * deleter: none: entries run out
 * size:    NID_ASKED
 * full:    never: the later namespace has the slot, and the earlier is reported
 *          once more
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NID_ASKED);
	__type(key, __u32);
	__type(value, struct asked);
} nid_asked SEC(".maps");

static __always_inline struct nid_listener *nid_listener_of(__u64 netns_cookie)
{
	return bpf_map_lookup_elem(&nid_listeners, &netns_cookie);
}

/* Whether this namespace was reported a moment ago. Two CPUs may both report it. */
static __always_inline bool nid_was_asked_for(__u64 netns_cookie, __u64 now)
{
	__u32 index = nid_mix(0, netns_cookie) & (NID_ASKED - 1);
	struct asked *asked = bpf_map_lookup_elem(&nid_asked, &index);

	if (!asked)
		return false;
	if (asked->netns_cookie == netns_cookie && asked->until > now)
		return true;
	asked->netns_cookie = netns_cookie;
	asked->until = now + NID_ASKED_NS;
	return false;
}

static __always_inline bool nid_has_share(__u64 pod, __u64 now)
{
	struct nid_pod_connections *connections = nid_connections_of(pod);
	__u64 window = now / NID_POD_EVENTS_NS;

	if (!connections)
		return true;
	if (connections->window != window) {
		connections->window = window;
		connections->events = 0;
	}
	/* Two CPUs may both see the last place: the sum of an atomic addition is there since Linux 5.12. */
	if (connections->events >= NID_POD_EVENTS_MAX)
		return false;
	__atomic_fetch_add(&connections->events, 1, __ATOMIC_RELAXED);
	return true;
}

static __always_inline void nid_report_namespace(const struct nid_namespace_event *report)
{
	struct nid_namespace_event *event;

	if (nid_has_share(report->pod, bpf_ktime_get_ns())) {
		event = bpf_ringbuf_reserve(&nid_namespaces, sizeof(*event), 0);
		if (event) {
			*event = *report;
			bpf_ringbuf_submit(event, 0);
			return;
		}
	}
	nid_count(NID_STAT_NAMESPACE_EVENT_LOST);
}

#endif
