/* Feeds the decision headers of bpf/lib to libFuzzer. The first byte chooses the decision; what each must keep is said there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/cdefs.h>
#include "lib/connection.h"
#include "lib/layout.h"
#include "lib/routes.h"

struct input {
	const uint8_t *bytes;
	size_t size;
};

static const struct nid_address protected = { .word = { 0, 0, NID_MAPPED_PREFIX, __builtin_bswap32(0xa9fea9fe) } };
static struct nid_endpoints endpoints;

static void keep(bool rule)
{
	if (!rule)
		abort();
}

static bool read_bytes(void *packet, __u32 offset, void *to, __u32 size)
{
	const struct input *input = packet;

	if (offset > input->size || size > input->size - offset)
		return false;
	memcpy(to, input->bytes + offset, size);
	return true;
}

/* No four bytes of the options that are a protected address pass, wherever they stand. */
static void check_options(const struct input *input)
{
	__u32 words = NID_WORDS4 + (input->size ? input->bytes[0] % 11 : 0);
	bool leads = nid_options_lead_on(&endpoints, words, read_bytes, (void *)input);

	for (__u32 i = NID_WORDS4 * 4; i + 4 <= words * 4 && i + 4 <= input->size; i++)
		keep(leads || memcmp(input->bytes + i, &protected.word[3], 4) != 0);
	keep(leads || words * 4 <= input->size || words == NID_WORDS4);
}

/* A reader of its own: whether a routing header that the kernel follows names the address. */
static bool names_protected(const struct input *input, __u8 next, size_t start)
{
	for (int header = 0; header < NID_EXTENSIONS_MAX && nid_is_extension(next); header++) {
		const uint8_t *at = input->bytes + start;
		size_t length;

		if (start + 8 > input->size)
			return true;
		if (next == NID_EXTENSION_FRAGMENT && (at[2] || at[3] & 0xf8))
			return false;
		length = next == NID_EXTENSION_FRAGMENT ? 8 : next == NID_EXTENSION_AUTHENTICATION ? (at[1] + 2U) * 4 : (at[1] + 1U) * 8;
		if (next == NID_EXTENSION_ROUTING && at[3])
			for (size_t i = 8; i + 16 <= length && start + i + 16 <= input->size; i += 16)
				if (memcmp(at + i, &protected, 16) == 0)
					return true;
		next = at[0];
		start += length;
	}
	return nid_is_extension(next);
}

static void check_extensions(const struct input *input)
{
	__u8 next = input->size ? input->bytes[0] : 0;

	if (names_protected(input, next, 0))
		keep(nid_extensions_lead_on(&endpoints, next, 0, read_bytes, (void *)input));
}

/* Numbers that have all grown by the same are the same connection's. */
static void check_ends(const struct input *input)
{
	__u32 words[6] = { 0 };
	struct nid_ends ends, later;

	memcpy(words, input->bytes, input->size < sizeof(words) ? input->size : sizeof(words));
	ends = (struct nid_ends){ words[0], words[1], words[2], words[3], words[4] };
	later = (struct nid_ends){ words[0] + words[5], words[1] + words[5], words[2] + words[5], words[3] - words[5], words[4] - words[5] };
	keep(nid_are_ends_of_one(&ends) == nid_are_ends_of_one(&later));
	if (nid_are_ends_of_one(&ends))
		keep(words[1] - words[0] <= INT32_MAX && words[2] - words[1] <= INT32_MAX && words[3] == words[4]);
}

/* A protected address that is redirected to the agent, or is refused, leaves the pod by no port; and the filter knows it. */
static void check_destination(const struct input *input)
{
	struct nid_address address = protected;
	__u16 port = 0;
	bool is_stream;
	enum nid_verdict verdict;

	if (input->size < 19)
		return;
	if (input->bytes[18] & 2)
		memcpy(&address, input->bytes, sizeof(address));
	memcpy(&port, input->bytes + 16, sizeof(port));
	is_stream = input->bytes[18] & 1;
	verdict = nid_judge(&endpoints, &address, port, is_stream);
	if (nid_is_protected(&endpoints, &address)) {
		keep(nid_may_be_protected(&endpoints, address.word[3]));
		if (verdict != NID_PASS)
			keep(!nid_may_leave(&endpoints, &address, is_stream ? NID_PROTOCOL_TCP : NID_PROTOCOL_UDP, false, port));
	}
}

/* A pod is one of the three levels, and what is reported is so at each level above. */
static void check_layout(const struct input *input)
{
	struct nid_settings settings = { 0 };
	__u64 levels[3];
	__u8 small[9] = { 0 };
	__u64 pod;

	memcpy(small, input->bytes, input->size < sizeof(small) ? input->size : sizeof(small));
	for (int i = 0; i < NID_GROUPS; i++)
		settings.groups[i] = small[i];
	for (int i = 0; i < 3; i++)
		levels[i] = small[NID_GROUPS + i];
	pod = nid_pod_among(&settings, levels[0], levels[1], levels[2]);
	keep(pod == levels[0] || pod == levels[1] || pod == levels[2]);
	for (__u32 depth = 2; depth < 8; depth++)
		if (nid_is_reported(&settings, depth, levels[0], levels[1], levels[2]))
			keep(nid_is_reported(&settings, depth - 1, levels[0], levels[1], levels[2]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static void (*const checks[])(const struct input *) = {
		check_options, check_extensions, check_ends, check_destination, check_layout,
	};
	struct input input;

	if (size < 1)
		return 0;
	if (!endpoints.count) {
		endpoints.count = 1;
		endpoints.entries[0].address = protected;
		endpoints.entries[0].action = NID_ACTION_REDIRECT;
		endpoints.filter[nid_filter_bit(protected.word[3]) / 32] |= 1U << (nid_filter_bit(protected.word[3]) % 32);
	}
	/* A copy of its own size: the sanitizer sees a read beyond it. */
	input = (struct input){ memcpy(malloc(size), bytes + 1, size - 1), size - 1 };
	checks[bytes[0] % (sizeof(checks) / sizeof(checks[0]))](&input);
	free((void *)input.bytes);
	return 0;
}
