/* A small HTTP server on epoll, one thread: GET /token/NUMBER, keep-alive, pipelining.
 * Does less per request than any real server, so what is gained here is the most that
 * can be gained.
 *
 *   server ADDRESS PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http.h"

#define CONNECTIONS_MAX 65536
#define REQUEST_MAX 2048
#define OUT_MAX (64 * ANSWER_MAX)
#define EVENTS 256

struct connection {
	char in[REQUEST_MAX];
	size_t in_bytes;
	/* Answers that the socket did not take. Allocated when that happens. */
	char *out;
	size_t out_bytes;
	bool closing;
};

static struct connection *connections[CONNECTIONS_MAX];
static int poller;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void drop(int fd)
{
	free(connections[fd]->out);
	free(connections[fd]);
	connections[fd] = NULL;
	close(fd);
}

static void watch(int fd, int operation, unsigned int events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	if (epoll_ctl(poller, operation, fd, &event))
		die("epoll_ctl");
}

static bool give(int fd, struct connection *connection, const char *bytes, size_t length)
{
	ssize_t sent = connection->out_bytes ? 0 : send(fd, bytes, length, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		return false;
	if (sent == (ssize_t)length)
		return true;
	if (sent < 0)
		sent = 0;
	if (!connection->out)
		connection->out = malloc(OUT_MAX);
	if (!connection->out || connection->out_bytes + length - (size_t)sent > OUT_MAX)
		return false;
	memcpy(connection->out + connection->out_bytes, bytes + sent, length - (size_t)sent);
	connection->out_bytes += length - (size_t)sent;
	watch(fd, EPOLL_CTL_MOD, EPOLLOUT);
	return true;
}

/* Answers the complete requests that were read, as one piece. */
static bool answer(int fd, struct connection *connection)
{
	static char batch[(REQUEST_MAX / 24 + 1) * ANSWER_MAX];
	size_t batch_bytes = 0;
	char *start = connection->in, *end;

	connection->in[connection->in_bytes] = 0;
	while ((end = strstr(start, "\r\n\r\n"))) {
		if (strncmp(start, "GET /token/", 11))
			return false;
		*end = 0;
		batch_bytes += write_answer(batch + batch_bytes, strtoul(start + 11, NULL, 10));
		connection->closing |= strstr(start, "Connection: close") != NULL;
		start = end + 4;
	}
	connection->in_bytes -= (size_t)(start - connection->in);
	memmove(connection->in, start, connection->in_bytes);
	if (batch_bytes && !give(fd, connection, batch, batch_bytes))
		return false;
	return !connection->closing || connection->out_bytes;
}

static void readable(int fd)
{
	struct connection *connection = connections[fd];
	ssize_t got = recv(fd, connection->in + connection->in_bytes,
			   REQUEST_MAX - 1 - connection->in_bytes, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		drop(fd);
		return;
	}
	connection->in_bytes += (size_t)got;
	if (!answer(fd, connection))
		drop(fd);
}

static void writable(int fd)
{
	struct connection *connection = connections[fd];
	ssize_t sent = send(fd, connection->out, connection->out_bytes, MSG_NOSIGNAL);

	if (sent < 0 && errno == EAGAIN)
		return;
	if (sent < 0) {
		drop(fd);
		return;
	}
	connection->out_bytes -= (size_t)sent;
	memmove(connection->out, connection->out + sent, connection->out_bytes);
	if (connection->out_bytes)
		return;
	if (connection->closing)
		drop(fd);
	else
		watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

static void accept_all(int listener)
{
	static const int on = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= CONNECTIONS_MAX || !(connections[fd] = calloc(1, sizeof(struct connection)))) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(fd, EPOLL_CTL_ADD, EPOLLIN);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct epoll_event events[EVENTS];
	static const int on = 1;
	int listener;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
		return 2;
	address.sin_port = htons((unsigned short)atoi(argv[2]));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4096))
		die("listen");
	poller = epoll_create1(EPOLL_CLOEXEC);
	watch(listener, EPOLL_CTL_ADD, EPOLLIN);
	puts("listening");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS, -1);

		for (int index = 0; index < count; index++) {
			int fd = events[index].data.fd;

			if (fd == listener)
				accept_all(listener);
			else if (events[index].events & EPOLLOUT)
				writable(fd);
			else
				readable(fd);
		}
	}
}
