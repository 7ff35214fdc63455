/* podidentd-opener: opens listening sockets in the network namespaces of pods, for the agent, which has no right to enter
 * one. The agent starts it before it gives up its own rights, and passes its requests through descriptor 3.
 *
 *   request   the integers that name a namespace, and a port
 *   answer    an errno, or listening sockets of that namespace's loopback device
 *
 * The program parses nothing else, holds CAP_SYS_ADMIN and CAP_NET_BIND_SERVICE (and CAP_SYS_PTRACE before Linux 6.18), and
 * makes a dozen system calls. It ends when the agent's end of the socket is closed, and keeps no socket and no namespace. What
 * tells the agent to end, such as a signal to the whole control group, does not end it: the agent needs it to its last.
 */
#include "opener.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AGENT 3

static int fail(const char *what)
{
	fprintf(stderr, "Error: podidentd-opener cannot %s: %s\n", what, strerror(errno));
	return 1;
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(2 * sizeof(int))];
};

/* Whether the agent has taken the message. */
static bool send_message(void *bytes, size_t length, const int *descriptors, size_t count)
{
	struct iovec part = { .iov_base = bytes, .iov_len = length };
	union control control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
	}
	return sendmsg(AGENT, &message, MSG_NOSIGNAL) == (ssize_t)length;
}

/* Receives the next request. 1: a valid one, 0: the agent has ended, -1: an invalid one. */
static int receive_request(struct request *request)
{
	struct iovec part = { .iov_base = request, .iov_len = sizeof(*request) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t length;

	do
		length = recvmsg(AGENT, &message, 0);
	while (length < 0 && errno == EINTR);
	if (length == 0 || (length < 0 && errno == ECONNRESET))
		return 0;
	if (length != (ssize_t)sizeof(*request) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return -1;
	if (request->ports == 0 || request->port < request->ports || request->reserved != 0)
		return -1;
	return (request->families & ~(FAMILY_IP4 | FAMILY_IP6)) == 0 && request->families != 0 ? 1 : -1;
}

static int serve(const struct home *home)
{
	struct request request;
	int received;

	while ((received = receive_request(&request)) == 1) {
		struct answer answer;
		int descriptors[2];
		bool is_home = open_listeners(home, &request, &answer, descriptors);
		int count = __builtin_popcount(answer.families);
		bool is_sent = send_message(&answer, sizeof(answer), descriptors, (size_t)count);

		for (int index = 0; index < count; index++)
			close(descriptors[index]);
		if (!is_home)
			return 2;
		if (!is_sent)
			return 0;
	}
	return received < 0 ? 3 : 0;
}

int main(int count, char **arguments)
{
	struct greeting greeting = { .version = OPENER_VERSION };
	struct home home;

	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	/* The agent takes it for an order to read its configuration again. */
	(void)signal(SIGHUP, SIG_IGN);
	/* Such as the agent's socket to its supervisor, which is to see when the agent ends. */
	(void)syscall(SYS_close_range, AGENT + 1, ~0u, 0);
	if (find_home(&home) != 0)
		return fail("open its own network namespace");
	/* As on a kernel without handles, for tests. */
	if (count > 1 && strcmp(arguments[1], "by-process") == 0)
		home.way = WAY_PROCESS;
	if (reduce_rights(home.way) != 0)
		return fail("give up rights");
	if (filter_system_calls(home.way) != 0)
		return fail("install its system call filter");
	greeting.way = home.way;
	return send_message(&greeting, sizeof(greeting), NULL, 0) ? serve(&home) : 0;
}
