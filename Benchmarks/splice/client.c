/* Asks for tokens and compares every byte of every answer's body with what it must be.
 *
 *   client keepalive|new|single ADDRESS PORT CONNECTIONS SECONDS|=REQUESTS
 *
 * keepalive  CONNECTIONS connections, one request in flight on each
 * new        the same with a connection per request, closed by the server
 * single     one connection, one blocking request after the other
 *
 * Prints one line of JSON. Latencies are those of whole requests, in microseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "http.h"

#define CONNECTIONS_MAX 1024
#define SAMPLES_MAX (4 << 20)

struct connection {
	int fd;
	unsigned long number;
	uint64_t asked;
	char in[ANSWER_MAX + 1];
	size_t in_bytes;
};

static struct connection connections[CONNECTIONS_MAX];
static struct sockaddr_in address = { .sin_family = AF_INET };
static bool is_new;
static int poller;
static unsigned long asked, answered, wrong;
static float *samples;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void ask(struct connection *connection)
{
	char request[256];
	int length;

	connection->number = asked++;
	connection->in_bytes = 0;
	length = sprintf(request,
			 "GET /token/%010lu HTTP/1.1\r\nHost: metadata.google.internal\r\n"
			 "Metadata-Flavor: Google\r\nX-Mark: " REQUEST_MARK "\r\n%s\r\n",
			 connection->number, is_new ? "Connection: close\r\n" : "");
	if (send(connection->fd, request, (size_t)length, MSG_NOSIGNAL) != length)
		die("send");
}

static void dial(struct connection *connection)
{
	static const int on = 1;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0 ||
	    connect(connection->fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event))
		die("epoll_ctl");
}

static void start(struct connection *connection)
{
	connection->asked = now();
	if (is_new)
		dial(connection);
	ask(connection);
}

/* The body of an answer, or NULL if its head is not complete. Heads differ by server. */
static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end ? end + 4 : NULL;
}

/* Whether the answer is complete: all of its bytes or, on a new connection, its end too. */
static bool take(struct connection *connection)
{
	char expected[ANSWER_MAX];
	size_t length = write_answer(expected, connection->number);
	const char *expected_body = body_of(expected), *body;
	size_t body_bytes = length - (size_t)(expected_body - expected);
	ssize_t got = recv(connection->fd, connection->in + connection->in_bytes,
			   sizeof(connection->in) - 1 - connection->in_bytes, 0);

	if (got < 0)
		die("recv");
	if (got == 0 && !is_new)
		die("closed early");
	connection->in_bytes += (size_t)got;
	connection->in[connection->in_bytes] = 0;
	body = body_of(connection->in);
	length = body ? (size_t)(body - connection->in) + body_bytes : sizeof(connection->in) - 1;
	if (is_new ? got > 0 : connection->in_bytes < length)
		return false;
	if (connection->in_bytes != length || memcmp(body, expected_body, body_bytes))
		wrong++;
	if (answered < SAMPLES_MAX)
		samples[answered] = (float)(now() - connection->asked) / 1000;
	answered++;
	if (is_new)
		close(connection->fd);
	return true;
}

static int by_value(const void *left, const void *right)
{
	float difference = *(const float *)left - *(const float *)right;

	return (difference > 0) - (difference < 0);
}

static void report(double seconds)
{
	size_t count = answered < SAMPLES_MAX ? answered : SAMPLES_MAX;
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	qsort(samples, count, sizeof(*samples), by_value);
	printf("{\"requests\": %lu, \"wrong\": %lu, \"seconds\": %.6f, \"p50\": %.2f, \"p99\": %.2f, "
	       "\"cpu\": %.6f}\n",
	       answered, wrong, seconds, count ? samples[count / 2] : 0,
	       count ? samples[count * 99 / 100] : 0,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

int main(int argc, char **argv)
{
	struct epoll_event events[CONNECTIONS_MAX];
	unsigned long limit = (unsigned long)-1;
	uint64_t began, end = UINT64_MAX;
	int count;

	if (argc != 6 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
		return 2;
	is_new = !strcmp(argv[1], "new");
	address.sin_port = htons((unsigned short)atoi(argv[3]));
	count = atoi(argv[4]);
	if (count < 1 || count > CONNECTIONS_MAX)
		return 2;
	samples = malloc(SAMPLES_MAX * sizeof(*samples));
	memset(samples, 0, SAMPLES_MAX * sizeof(*samples));
	poller = epoll_create1(EPOLL_CLOEXEC);
	for (int index = 0; index < count && !is_new; index++)
		dial(&connections[index]);
	began = now();
	if (argv[5][0] == '=')
		limit = strtoul(argv[5] + 1, NULL, 10);
	else
		end = began + (uint64_t)(atof(argv[5]) * 1e9);
	for (int index = 0; index < count; index++)
		start(&connections[index]);
	if (!strcmp(argv[1], "single")) {
		while (answered < limit && now() < end)
			if (take(&connections[0]))
				start(&connections[0]);
	}
	while (answered < limit && now() < end) {
		int ready = epoll_wait(poller, events, CONNECTIONS_MAX, 5000);

		if (ready <= 0) {
			fprintf(stderr, "client: nothing arrived for 5 s after %lu answers\n", answered);
			return 1;
		}
		for (int index = 0; index < ready; index++)
			if (take(events[index].data.ptr))
				start(events[index].data.ptr);
	}
	report((double)(now() - began) / 1e9);
	return 0;
}
