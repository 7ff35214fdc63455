#include "supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MESSAGE_LENGTH 16
#define VERSION 2
/* An agent reads what it is sent before anything else. */
#define SEND_SECONDS 5

enum kind {
	/* From the supervisor: restarts so far, and how the last agent ended. */
	KIND_START = 1,
	/* A group's key, and its descriptors: from the agent, to be kept in place of those of that key; to the agent, those
	 * that were kept.
	 */
	KIND_KEEP = 2,
	/* A group's key: close the copies. */
	KIND_DROP = 3,
	/* Close every copy: a successor has its own sockets. */
	KIND_FORGET = 4,
	/* From the agent: it serves. */
	KIND_SERVING = 5,
	/* From the supervisor: there are no more groups. */
	KIND_ALL = 6,
};

/* The first five bytes of every message. */
static const unsigned char prefix[] = { 'n', 'i', 'd', 's', VERSION };

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(GROUP_MAX * sizeof(int))];
};

int make_pair(int ends[2])
{
	struct timeval limit = { .tv_sec = SEND_SECONDS };

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -1;
	(void)setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	/* The agent's: cleared in the parent, which starts nothing before it has closed it. */
	return fcntl(ends[1], F_SETFD, 0);
}

static bool send_message(int socket, enum kind kind, uint32_t first, uint32_t second, const struct group *group)
{
	unsigned char bytes[MESSAGE_LENGTH] = { 0 };
	uint32_t numbers[2] = { htonl(first), htonl(second) };
	struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	union control control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	memcpy(bytes, prefix, sizeof(prefix));
	bytes[sizeof(prefix)] = (unsigned char)kind;
	memcpy(bytes + 8, numbers, sizeof(numbers));
	if (group && group->count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(group->count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(group->count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), group->descriptors, group->count * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) == MESSAGE_LENGTH;
}

bool send_start(int socket, unsigned int restarts, int last_status, const struct kept *kept)
{
	if (!send_message(socket, KIND_START, restarts, (uint32_t)last_status, NULL))
		return false;
	for (unsigned int index = 0; index < kept->count; index++) {
		const struct group *group = &kept->groups[index];

		if (!send_message(socket, KIND_KEEP, (uint32_t)(group->key >> 32), (uint32_t)group->key, group))
			return false;
	}
	return send_message(socket, KIND_ALL, 0, 0, NULL);
}

static void close_group(struct group *group)
{
	for (unsigned int index = 0; index < group->count; index++)
		close(group->descriptors[index]);
	group->count = 0;
}

void forget(struct kept *kept)
{
	for (unsigned int index = 0; index < kept->count; index++)
		close_group(&kept->groups[index]);
	kept->count = 0;
}

static struct group *find(struct kept *kept, uint64_t key)
{
	for (unsigned int index = 0; index < kept->count; index++) {
		if (kept->groups[index].key == key)
			return &kept->groups[index];
	}
	return NULL;
}

static void drop(struct kept *kept, uint64_t key)
{
	struct group *group = find(kept, key);

	if (!group)
		return;
	close_group(group);
	*group = kept->groups[--kept->count];
}

/* Keeps a group in place of an earlier one of its key. Without memory, or with too many, its connections are refused
 * should the agent crash, as without a supervisor.
 */
static void keep(struct kept *kept, struct group *taken)
{
	drop(kept, taken->key);
	if (kept->count == kept->capacity) {
		unsigned int capacity = kept->capacity ? 2 * kept->capacity : 64;
		struct group *groups =
			capacity > GROUPS_MAX ? NULL : realloc(kept->groups, capacity * sizeof(*groups));

		if (!groups) {
			close_group(taken);
			return;
		}
		kept->groups = groups;
		kept->capacity = capacity;
	}
	kept->groups[kept->count++] = *taken;
}

void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The descriptors that came with a message, which are this process's from here on. */
static void take_descriptors(struct msghdr *message, struct group *taken)
{
	taken->count = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		taken->count = (unsigned int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(taken->descriptors, CMSG_DATA(header), taken->count * sizeof(int));
		return;
	}
}

/* Does to `kept` what a valid message says, which owns its descriptors. */
static enum message obey(enum kind kind, struct group *taken, struct kept *kept)
{
	if (kind == KIND_KEEP) {
		keep(kept, taken);
		return MESSAGE_GROUP;
	}
	close_group(taken);
	switch (kind) {
	case KIND_DROP:
		drop(kept, taken->key);
		return MESSAGE_GROUP;
	case KIND_FORGET:
		forget(kept);
		kept->replaced = true;
		return MESSAGE_FORGET;
	case KIND_SERVING:
		return MESSAGE_SERVING;
	default:
		return MESSAGE_INVALID;
	}
}

enum message receive_message(int socket, struct kept *kept)
{
	unsigned char bytes[MESSAGE_LENGTH] = { 0 };
	struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	union control control = { 0 };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct group taken = { 0 };
	uint32_t numbers[2];

	if (length < 0)
		return MESSAGE_END;
	/* Also of a message without a byte, which reads as the end. */
	take_descriptors(&message, &taken);
	if (length == 0) {
		close_group(&taken);
		return MESSAGE_END;
	}
	if (length != MESSAGE_LENGTH || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    memcmp(bytes, prefix, sizeof(prefix)) != 0) {
		close_group(&taken);
		return MESSAGE_INVALID;
	}
	memcpy(numbers, bytes + 8, sizeof(numbers));
	taken.key = (uint64_t)ntohl(numbers[0]) << 32 | ntohl(numbers[1]);
	return obey((enum kind)bytes[sizeof(prefix)], &taken, kept);
}
