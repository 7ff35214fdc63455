#include "attack.h"

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
		fail("io_uring", errno);
	submissions = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
			   IORING_OFF_SQ_RING);
	completions = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
			   IORING_OFF_CQ_RING);
	entries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		       IORING_OFF_SQES);
	if (submissions == MAP_FAILED || completions == MAP_FAILED || entries == MAP_FAILED)
		fail("io_uring mmap", errno);
	memset(entries, 0, sizeof(*entries));
	entries->opcode = IORING_OP_CONNECT;
	entries->fd = fd;
	entries->addr = (uintptr_t)&target->any;
	entries->off = target->length;
	*(unsigned *)(submissions + parameters.sq_off.array) = 0;
	*(unsigned *)(submissions + parameters.sq_off.tail) = 1;
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		fail("io_uring", errno);
	head = *(unsigned *)(completions + parameters.cq_off.head);
	completion = (struct io_uring_cqe *)(completions + parameters.cq_off.cqes) + head;
	if (completion->res < 0) {
		errno = -completion->res;
		return -1;
	}
	return 0;
}

void attack_connect(const char *how, struct target target)
{
	int on = 1;
	int fd = make_stream(target.any.sa_family, strstr(how, "mptcp") ? IPPROTO_MPTCP : 0);

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
	ask(fd);
}

static void wake(int number)
{
	(void)number;
}

/* Connects, asks, says so, and asks again when told to (SIGUSR1). */
void attack_keep_alive(struct target target)
{
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

/* Claims to be connected from `source` to `target`, without a packet. */
void attack_repair(struct target source, struct target target)
{
	int fd = make_stream(target.any.sa_family, 0);
	int on = 1, off = 0;
	int queue = TCP_SEND_QUEUE;
	unsigned sequence = 1000;

	if (setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on)) < 0)
		fail("free bind", errno);
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0)
		fail("repair", errno);
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, sizeof(sequence));
	queue = TCP_RECV_QUEUE;
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue));
	setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, sizeof(sequence));
	if (bind(fd, &source.any, source.length) < 0)
		fail("bind", errno);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off));
	ask(fd);
}
