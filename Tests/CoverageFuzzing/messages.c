/* Feeds what arrives at podidentd-init and at podidentd-opener to libFuzzer: messages through a real socket, with descriptors.
 *
 * The first byte says for whom; each message after it begins with its length and its number of descriptors. No descriptor may
 * be lost or kept twice, and no request may be taken that the agent does not send.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>

#define send_message init_send_message
#define control init_control
#include "../../Sources/podidentd-init/sockets.c"
#undef send_message
#undef control
#undef VERSION
/* Descriptor 3 of podidentd-init, which is this program's own. */
static int agent_end = -1;
#define recvmsg(descriptor, message, flags) recvmsg(agent_end, message, (flags) | MSG_DONTWAIT)
#define main opener_main
#define reduce_rights opener_reduce_rights
#include "../../Sources/podidentd-opener/main.c"
#undef reduce_rights
#undef main
#undef recvmsg

#define MESSAGE_MAX 64
#define DESCRIPTORS_MAX 8

/* The opener's parts that are not tried here. */
int opener_reduce_rights(enum way way)
{
	abort();
}

int find_home(struct home *home)
{
	abort();
}

bool open_listeners(const struct home *home, const struct request *request, struct answer *answer, int descriptors[2])
{
	abort();
}

int filter_system_calls(enum way way)
{
	abort();
}

static void keep_rule(bool rule)
{
	if (!rule)
		abort();
}

/* How many descriptors are open, of which so many are expected. A process gets the lowest free number: none is above the most
 * that have been open at once, and a message brings few.
 */
static int open_descriptors(int expected)
{
	static int above = 64;
	int count = 0;

	if (above < expected + 2 * DESCRIPTORS_MAX)
		above = expected + 2 * DESCRIPTORS_MAX;
	for (int descriptor = 0; descriptor < above; descriptor++)
		count += fcntl(descriptor, F_GETFD) >= 0;
	return count;
}

static void post(int socket, const uint8_t *bytes, size_t size, unsigned int count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		int *descriptors = (int *)CMSG_DATA(&control.header);

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		for (unsigned int index = 0; index < count; index++)
			descriptors[index] = socket;
	}
	(void)sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void check_request(void)
{
	struct request request;

	if (receive_request(&request) != 1)
		return;
	keep_rule(request.ports > 0 && request.port >= request.ports && request.reserved == 0);
	keep_rule(request.families >= 1 && request.families <= 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct kept kept = { 0 };
	bool is_opener;
	int ends[2], before;

	if (size < 1)
		return 0;
	is_opener = bytes[0] & 1;
	before = open_descriptors(0);
	if (make_pair(ends) != 0)
		return 0;
	agent_end = ends[1];
	for (size_t at = 1; at + 2 <= size;) {
		size_t length = bytes[at] % MESSAGE_MAX;
		unsigned int count = bytes[at + 1] % (is_opener ? 1 : DESCRIPTORS_MAX);
		int held = 0;

		at += 2;
		if (length > size - at)
			length = size - at;
		post(ends[0], bytes + at, length, count);
		at += length;
		if (is_opener) {
			check_request();
			continue;
		}
		receive_message(ends[1], &kept);
		for (unsigned int index = 0; index < kept.count; index++)
			held += (int)kept.groups[index].count;
		held += before + 2;
		keep_rule(kept.count <= kept.capacity && open_descriptors(held) == held);
	}
	forget(&kept);
	free(kept.groups);
	close(ends[0]);
	close(ends[1]);
	keep_rule(open_descriptors(before) == before);
	return 0;
}
