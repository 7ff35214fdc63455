// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Runs the decision headers in the kernel under BPF_PROG_TEST_RUN: arguments
 * and results travel in the context of a syscall program.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "decisions.h"
#include "lib/destination.h"
#include "lib/handover.h"
#include "lib/layout.h"

/* Too large for the stack. The tests run one at a time. */
static struct nid_endpoint endpoints[NID_ENDPOINTS_MAX];

SEC("syscall")
int test_destination(struct test_destination *t)
{
	struct nid_address destination = t->destination;

	__u32 count = t->endpoint_count;

	/* Not constant here as it is in the programs: the verifier tries them all. */
	if (count > TEST_ENDPOINTS_MAX)
		count = TEST_ENDPOINTS_MAX;
	__builtin_memcpy(endpoints, t->endpoints, sizeof(endpoints));
	t->is_protected = nid_is_protected(endpoints, count, &destination);
	t->verdict = nid_judge_port(t->port, t->is_stream);
	t->judgement = nid_judge(endpoints, count, &destination, t->port, t->is_stream);
	t->may_leave = nid_may_leave(endpoints, count, &destination, t->protocol,
				     t->is_fragment, t->port);
	return 0;
}

SEC("syscall")
int test_layout(struct test_layout *t)
{
	struct nid_settings settings = t->settings;
	__u64 first = t->ancestors[0], second = t->ancestors[1], third = t->ancestors[2];

	t->pod = nid_pod_among(&settings, first, second, third);
	t->is_reported = nid_is_reported(&settings, t->depth, first, second, third);
	return 0;
}

SEC("syscall")
int test_tree(struct test_tree *t)
{
	struct nid_tree tree = t->tree;

	t->is_tree = nid_is_tree(&tree, t->ancestor);
	return 0;
}

SEC("syscall")
int test_mapped(struct test_mapped *t)
{
	t->result = nid_mapped(t->ip4);
	return 0;
}

SEC("syscall")
int test_handover(struct test_handover *t)
{
	struct nid_handover copy = t->handover;
	struct nid_key client = nid_client_key(t->client_snd_una, t->client_rcv_nxt);
	struct nid_key server = nid_server_key(t->server_snd_una, t->server_rcv_nxt);

	if (t->reseal)
		copy.seal = nid_seal(&copy.tag, &client);
	t->client_key = client;
	t->server_key = server;
	t->seal = copy.seal;
	t->outcome = nid_judge_handover(&copy, &server);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
