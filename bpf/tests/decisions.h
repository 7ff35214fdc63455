/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Arguments of the test programs, and their results in the same place, shared with the tests that fill it in. */
#ifndef PODIDENTD_TEST_DECISIONS_H
#define PODIDENTD_TEST_DECISIONS_H

#include "podidentd_abi.h"

#define TEST_ENDPOINTS_MAX 4
#define TEST_PACKET_MAX 128

struct test_destination {
	struct nid_endpoint endpoints[TEST_ENDPOINTS_MAX];
	struct nid_address destination;
	__u32 endpoint_count;
	/* Host order. */
	__u16 port;
	__u8 is_stream;
	__u8 is_protected;
	/* The verdict on the port alone. */
	__u32 verdict;
	/* The verdict on the whole destination. */
	__u32 judgement;
	__u8 protocol;
	__u8 is_fragment;
	__u8 may_leave;
	__u8 reserved;
};

struct test_layout {
	struct nid_settings settings;
	/* The ancestors at the first three levels below the kubepods root. */
	__u64 ancestors[3];
	__u64 pod;
	__u32 depth;
	__u32 is_reported;
};

struct test_tree {
	struct nid_tree tree;
	__u64 ancestor;
	__u32 is_tree;
	__u32 reserved;
};

/* One endpoint, and a packet from its IP header on. */
struct test_route {
	struct nid_endpoint endpoint;
	__u32 length;
	__u8 is_ipv4;
	__u8 leads_on;
	__u8 reserved[2];
	__u32 bytes[TEST_PACKET_MAX / 4];
};

struct test_mapped {
	/* Network order. */
	__u32 ip4;
	struct nid_address result;
	__u32 reserved;
};

struct test_connection {
	__u32 client_acknowledged;
	__u32 server_expects;
	__u32 client_written;
	__u32 server_next;
	__u32 client_expects;
	__u32 is_one;
};

/* The place, of one run at a time. */
union test_exchange {
	struct test_destination destination;
	struct test_layout layout;
	struct test_tree tree;
	struct test_route route;
	struct test_mapped mapped;
	struct test_connection connection;
};

#endif
