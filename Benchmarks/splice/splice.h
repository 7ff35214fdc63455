/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel programs and the loader agree on. */
#pragma once

#include <linux/types.h>

enum splice_mode {
	/* Redirect and rendezvous as the agent has them, and no more: the reference. */
	SPLICE_OFF,
	/* Server to client skips the network stack; requests are ordinary TCP. */
	SPLICE_ANSWERS,
	/* Both directions skip it; a client whose first bytes went by TCP stays with TCP. */
	SPLICE_BOTH,
	/* Both directions, and each message is decided anew. Loses the order of bytes. */
	SPLICE_NAIVE,
};

/* Both sides of the handshake know them. Host order. */
struct splice_handshake {
	__u32 client_isn;
	__u32 server_isn;
};

/* What a socket knows of its connection. */
struct splice_end {
	/* The client's socket cookie: the key of both ends' entries. */
	__u64 connection;
	__u32 is_server;
	__u32 mode;
	/* Set for good once a message of this end went by TCP. */
	__u32 tcp_only;
	__u32 pad;
};

enum splice_counter {
	SPLICE_CLIENTS_ADDED,
	SPLICE_SERVERS_ADDED,
	SPLICE_NOT_ADDED,
	SPLICE_ANSWERS_SPLICED,
	SPLICE_REQUESTS_SPLICED,
	SPLICE_BY_TCP,
	SPLICE_ANSWERS_DROPPED,
	SPLICE_COUNTERS,
};

#define SPLICE_COUNTER_NAMES                                                              \
	{ "clients_added", "servers_added", "not_added", "answers_spliced",               \
	  "requests_spliced", "by_tcp", "answers_dropped" }
