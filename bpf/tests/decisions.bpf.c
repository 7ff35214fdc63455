// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Runs the decision headers in the kernel under BPF_PROG_TEST_RUN: arguments and results travel in a variable, since programs
 * whose context the kernel copies back (syscall, Linux 5.14) are newer than the oldest kernel.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "decisions.h"
#include "lib/connection.h"
#include "lib/destination.h"
#include "lib/layout.h"
#include "lib/routes.h"

union test_exchange exchange;

/* Too large for the stack. The tests run one at a time. */
static struct nid_endpoints endpoints;
static __u8 packet[TEST_PACKET_MAX];
static __u32 packet_length;

static __always_inline void protect(const struct nid_endpoint *endpoint)
{
	__u32 bit = nid_filter_bit(endpoint->address.word[3]);
	__u32 index = endpoints.count;

	endpoints.filter[bit / 32] |= 1U << (bit % 32);
	if (index >= NID_ENDPOINTS_MAX)
		return;
	endpoints.entries[index] = *endpoint;
	endpoints.count = index + 1;
}

static __always_inline void protect_nothing(void)
{
	endpoints.count = 0;
	for (int i = 0; i < NID_FILTER_BITS / 32; i++)
		endpoints.filter[i] = 0;
}

SEC("raw_tp")
int test_destination(void *ctx)
{
	struct test_destination *t = &exchange.destination;
	struct nid_address destination = t->destination;

	protect_nothing();
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TEST_ENDPOINTS_MAX; i++) {
		struct nid_endpoint endpoint = t->endpoints[i];

		if (i < t->endpoint_count)
			protect(&endpoint);
	}
	t->is_protected = nid_is_protected(&endpoints, &destination);
	t->verdict = nid_judge_port(t->port, t->is_stream);
	t->judgement = nid_judge(&endpoints, &destination, t->port, t->is_stream);
	t->may_leave = nid_may_leave(&endpoints, &destination, t->protocol, t->is_fragment, t->port);
	return 0;
}

static __always_inline bool read_bytes(void *unused, __u32 offset, void *to, __u32 size)
{
	__u8 *bytes = to;

	if (offset + size > packet_length)
		return false;
	for (__u32 i = 0; i < size; i++)
		bytes[i] = packet[(offset + i) % TEST_PACKET_MAX];
	return true;
}

SEC("raw_tp")
int test_route(void *ctx)
{
	struct test_route *t = &exchange.route;
	struct nid_endpoint endpoint = t->endpoint;

	protect_nothing();
	protect(&endpoint);
	packet_length = t->length;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < TEST_PACKET_MAX / 4; i++)
		*(__u32 *)&packet[i * 4] = t->bytes[i];
	if (t->is_ipv4)
		t->leads_on = nid_options_lead_on(&endpoints, packet[0] & 0xf, read_bytes, NULL);
	else
		t->leads_on = nid_extensions_lead_on(&endpoints, packet[6], 40, read_bytes, NULL);
	return 0;
}

SEC("raw_tp")
int test_layout(void *ctx)
{
	struct test_layout *t = &exchange.layout;
	struct nid_settings settings = t->settings;
	__u64 first = t->ancestors[0], second = t->ancestors[1], third = t->ancestors[2];

	t->pod = nid_pod_among(&settings, first, second, third);
	t->is_reported = nid_is_reported(&settings, t->depth, first, second, third);
	return 0;
}

SEC("raw_tp")
int test_tree(void *ctx)
{
	struct test_tree *t = &exchange.tree;
	struct nid_tree tree = t->tree;

	t->is_tree = nid_is_tree(&tree, t->ancestor);
	return 0;
}

SEC("raw_tp")
int test_mapped(void *ctx)
{
	struct test_mapped *t = &exchange.mapped;
	t->result = nid_mapped(t->ip4);
	return 0;
}

SEC("raw_tp")
int test_connection(void *ctx)
{
	struct test_connection *t = &exchange.connection;
	struct nid_ends ends = {
		.client_acknowledged = t->client_acknowledged,
		.server_expects = t->server_expects,
		.client_written = t->client_written,
		.server_next = t->server_next,
		.client_expects = t->client_expects,
	};

	t->is_one = nid_are_ends_of_one(&ends);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
