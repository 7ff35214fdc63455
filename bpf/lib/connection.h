/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Whether two sockets are the two ends of one connection, by their sequence
 * numbers. No helpers and no maps: see destination.h.
 *
 * Addresses and ports alone do not tell: a process that may translate addresses in the
 * namespace brings one connection to where another seems to come from.
 */
#ifndef PODIDENTD_CONNECTION_H
#define PODIDENTD_CONNECTION_H

#include <stdbool.h>
#include <linux/types.h>

/* Read in this order: each number only grows, so that what was read first of one
 * end cannot be ahead of what was read later of the other.
 */
struct nid_ends {
	/* The first number that the client does not know to have arrived. */
	__u32 client_acknowledged;
	/* The next that the agent's end expects. */
	__u32 server_expects;
	/* The end of what the client has written. Not the next that it will send: that
	 * is raised only after a packet has left, and the other end may have it by then.
	 */
	__u32 client_written;
	/* The next that the agent's end will send: it has sent nothing but its SYN. */
	__u32 server_next;
	/* The next that the client expects. */
	__u32 client_expects;
};

/* Numbers wrap around. */
static __always_inline bool nid_is_at_most(__u32 first, __u32 second)
{
	return (__s32)(second - first) >= 0;
}

static __always_inline bool nid_are_ends_of_one(const struct nid_ends *ends)
{
	return ends->server_next == ends->client_expects &&
	       nid_is_at_most(ends->client_acknowledged, ends->server_expects) &&
	       nid_is_at_most(ends->server_expects, ends->client_written);
}

#endif
