#include "supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_LENGTH 16
#define VERSION 1

enum kind {
	KIND_START = 1,
	KIND_KEEP = 2,
	KIND_FORGET = 3,
};

/* The first five bytes of every message. */
static const unsigned char prefix[] = { 'n', 'i', 'd', 's', VERSION };

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(KEPT_MAX * sizeof(int))];
};

int make_pair(int ends[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
		return -1;
	/* The agent's: cleared in the parent, which starts nothing before it has closed it. */
	return fcntl(ends[1], F_SETFD, 0);
}

bool send_start(int socket, unsigned int restarts, int last_status, const struct kept *kept)
{
	unsigned char bytes[MESSAGE_LENGTH] = { 0 };
	uint32_t numbers[2] = { htonl(restarts), htonl((uint32_t)last_status) };
	struct iovec part = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	union control control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	memcpy(bytes, prefix, sizeof(prefix));
	bytes[sizeof(prefix)] = KIND_START;
	memcpy(bytes + 8, numbers, sizeof(numbers));
	if (kept->count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(kept->count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(kept->count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), kept->descriptors, kept->count * sizeof(int));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) == MESSAGE_LENGTH;
}

void forget(struct kept *kept)
{
	for (unsigned int index = 0; index < kept->count; index++)
		close(kept->descriptors[index]);
	kept->count = 0;
}

/* The descriptors that came with a message, which are this process's from here on. */
static void take_descriptors(struct msghdr *message, struct kept *taken)
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
	struct kept taken = { 0 };

	if (length <= 0)
		return MESSAGE_END;
	take_descriptors(&message, &taken);
	if (length != MESSAGE_LENGTH || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    memcmp(bytes, prefix, sizeof(prefix)) != 0) {
		forget(&taken);
		return MESSAGE_INVALID;
	}
	switch (bytes[sizeof(prefix)]) {
	case KIND_KEEP:
		forget(kept);
		*kept = taken;
		return MESSAGE_KEEP;
	case KIND_FORGET:
		forget(&taken);
		forget(kept);
		kept->replaced = true;
		return MESSAGE_FORGET;
	default:
		forget(&taken);
		return MESSAGE_INVALID;
	}
}
