// SPDX-License-Identifier: Apache-2.0
/*
 * The floor: the least that a server can do and still answer. Accepts with the first bytes (TCP_DEFER_ACCEPT), reads once,
 * writes the same bytes, closes if asked to. It understands nothing and must never be exposed to anything but a benchmark.
 *
 *   floor --listen 127.0.0.1:979 --body-file FILE [--threads 2] [--network /run/netns/...]
 */
#include "common.h"

#include <getopt.h>
#include <pthread.h>
#include <sys/epoll.h>

static int listener;
static char keep_answer[16384], close_answer[16384];
static size_t keep_length, close_length;

static size_t make_answer(char *buffer, size_t size, const char *body, size_t length, const char *more)
{
	int head = snprintf(buffer, size,
			    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n", length, more);

	if (head < 0 || (size_t)head + length > size)
		die("the body is too long");
	memcpy(buffer + head, body, length);
	return (size_t)head + length;
}

static void answer(int client)
{
	char request[4096];
	ssize_t got = read(client, request, sizeof(request));
	bool closes;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		close(client);
		return;
	}
	closes = memmem(request, (size_t)got, "Connection: close", 17) != NULL;
	if (closes) {
		if (write(client, close_answer, close_length) < 0)
			errno = 0;
		close(client);
	} else if (write(client, keep_answer, keep_length) < 0) {
		close(client);
	}
}

static void accept_all(int epoll)
{
	int client;

	while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = client};

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event))
			close(client);
		else
			answer(client);
	}
}

static void *serve(void *unused)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener};
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
		die("epoll");
	for (;;) {
		struct epoll_event events[64];
		int ready = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == listener)
				accept_all(epoll);
			else
				answer(events[i].data.fd);
		}
	}
	return unused;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", 1, 0, 'l'}, {"body-file", 1, 0, 'b'}, {"threads", 1, 0, 't'}, {"network", 1, 0, 'n'}, {0, 0, 0, 0},
	};
	const char *address = "127.0.0.1:8080", *body_file = NULL, *network = NULL;
	char body[8192];
	struct sockaddr_in to;
	int option, threads = 1, one = 1;
	size_t length;
	FILE *file;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'l': address = optarg; break;
		case 'b': body_file = optarg; break;
		case 't': threads = atoi(optarg); break;
		case 'n': network = optarg; break;
		default: return 2;
		}
	}
	errno = 0;
	if (!body_file || !(file = fopen(body_file, "re")))
		die("cannot read the body");
	length = fread(body, 1, sizeof(body), file);
	fclose(file);
	keep_length = make_answer(keep_answer, sizeof(keep_answer), body, length, "");
	close_length = make_answer(close_answer, sizeof(close_answer), body, length, "Connection: close\r\n");
	enter_network(network);
	to = parse_address(address);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&to, sizeof(to)) || listen(listener, 4096))
		die("cannot listen on %s", address);
	for (int i = 1; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, serve, NULL))
			die("pthread_create");
	}
	serve(NULL);
}
