// SPDX-License-Identifier: Apache-2.0
/* The work whose price is measured. */
#include "hooks.h"

#define CHUNKS_MAX 4096

const struct work works[] = {
	{ "sendto", DATAGRAM, 50 }, { "send", CONNECTED_DATAGRAM, 50 }, { "ping-pong", PING_PONG, 20 },
	{ "bulk", BULK, 10 },	    { "connect", CONNECT, 10 },		{ "cycle", CYCLE, 10 },
	{ "getpeername", GETPEERNAME, 50 },
};
const int work_count = sizeof(works) / sizeof(works[0]);

static char payload[65536];

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static int make_server(const struct place *place, int type, struct sockaddr_in *to)
{
	socklen_t size = sizeof(*to);
	int server;

	*to = (struct sockaddr_in){ .sin_family = AF_INET };
	enter_network(place->peer_network);
	server = socket(AF_INET, type, 0);
	if (server < 0 || inet_pton(AF_INET, place->address, &to->sin_addr) != 1 ||
	    bind(server, (struct sockaddr *)to, sizeof(*to)) || (type == SOCK_STREAM && listen(server, 64)) ||
	    getsockname(server, (struct sockaddr *)to, &size))
		die("serve at %s", place->address);
	return server;
}

void open_run(const struct work *work, const struct place *place, struct run *run)
{
	bool is_stream = work->kind != DATAGRAM && work->kind != CONNECTED_DATAGRAM;
	int one = 1, large = 4 << 20;

	*run = (struct run){ .near = -1, .far = -1, .listener = -1 };
	if (is_stream)
		run->listener = make_server(place, SOCK_STREAM, &run->to);
	else
		run->far = make_server(place, SOCK_DGRAM, &run->to);
	enter_network(place->network);
	if (work->kind == CONNECT || work->kind == CYCLE)
		return;
	run->near = socket(AF_INET, is_stream ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (work->kind != DATAGRAM && connect(run->near, (struct sockaddr *)&run->to, sizeof(run->to)))
		die("connect to %s", place->address);
	if (!is_stream)
		return;
	run->far = accept(run->listener, NULL, NULL);
	for (int end = 0; end < 2; end++) {
		int socket = end ? run->far : run->near;

		setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
		setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
	}
}

void close_run(struct run *run)
{
	close(run->near);
	close(run->far);
	close(run->listener);
	errno = 0;
}

static void pass(int from, int to, size_t size)
{
	if (send(from, payload, size, 0) != (ssize_t)size)
		die("send");
	while (size) {
		ssize_t got = recv(to, payload, size, 0);

		if (got <= 0)
			die("receive");
		size -= (size_t)got;
	}
}

static void ask_peer(int socket)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);

	if (getpeername(socket, (struct sockaddr *)&peer, &size))
		die("getpeername");
}

/* Nanoseconds of connect() alone. The connection is accepted with its peer's address, as servers do. */
static uint64_t connect_once(const struct run *run)
{
	/* Both ends vanish at once: no TIME_WAIT, whatever the count. */
	static const struct linger reset = { .l_onoff = 1 };
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	int client = socket(AF_INET, SOCK_STREAM, 0), server;
	uint64_t begin = monotonic_ns(), spent;

	if (connect(client, (const struct sockaddr *)&run->to, sizeof(run->to)))
		die("connect");
	spent = monotonic_ns() - begin;
	server = accept(run->listener, (struct sockaddr *)&peer, &size);
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	close(server);
	return spent;
}

/* The mean of one chunk of operations. */
static double do_chunk(const struct work *work, const struct run *run)
{
	uint64_t begin = monotonic_ns(), spent = 0;

	for (int i = 0; i < work->operations; i++) {
		switch (work->kind) {
		case DATAGRAM:
			if (sendto(run->near, payload, 64, 0, (const struct sockaddr *)&run->to, sizeof(run->to)) != 64 ||
			    recv(run->far, payload, 64, 0) != 64)
				die("sendto");
			break;
		case CONNECTED_DATAGRAM:
			pass(run->near, run->far, 64);
			break;
		case PING_PONG:
			pass(run->near, run->far, 64);
			pass(run->far, run->near, 64);
			break;
		case BULK:
			pass(run->near, run->far, sizeof(payload));
			break;
		case GETPEERNAME:
			ask_peer(run->near);
			break;
		case CONNECT:
		case CYCLE:
			spent += connect_once(run);
			break;
		}
	}
	if (work->kind != CONNECT)
		spent = monotonic_ns() - begin;
	return (double)spent / work->operations;
}

/* The median of the chunks of so many milliseconds. */
double do_batch(const struct work *work, const struct run *run, int ms)
{
	static double samples[CHUNKS_MAX];
	uint64_t end = monotonic_ns() + (uint64_t)ms * 1000000;
	int count = 0;

	do_chunk(work, run);
	do
		samples[count++] = do_chunk(work, run);
	while (count < CHUNKS_MAX && monotonic_ns() < end);
	qsort(samples, (size_t)count, sizeof(samples[0]), ascending);
	return samples[count / 2];
}
