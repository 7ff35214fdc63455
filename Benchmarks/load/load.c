// SPDX-License-Identifier: Apache-2.0
/*
 * Asks a server at a fixed rate, and says how long each answer took.
 *
 * The load is open: request i is due at start + i / rate whether or not earlier ones were answered, and its latency
 * counts from when it was due. A server that stalls is charged for every request that fell due meanwhile, which a
 * generator that waits for one answer before it sends the next would not send at all (coordinated omission).
 *
 *   load --rate 5000 --seconds 5 [--keep-alive] [--connections 32] [--warm-up 0.5] [--to 169.254.169.254:80]
 *        [--path /] [--cgroup .../cgroup.procs] [--network /run/netns/...]
 */
#include "answer.h"

#include <getopt.h>
#include <sys/epoll.h>

enum state { FREE, CONNECTING, IDLE, READING, DRAINING };

struct connection {
	int descriptor;
	enum state state;
	uint64_t due;
	struct answer answer;
};

static struct {
	struct sockaddr_in to;
	char request[2048];
	size_t request_length;
	bool keep_alive;
	uint64_t start, interval, warm_up_until;
	/* `refused`: of the errors, the connections that were not established. */
	size_t planned, begun, ended, errors, refused, refused_status;
	int epoll;
	uint32_t *samples; /* ns / 10, which lasts for 42 s */
	size_t sample_count;
} run;

static void watch(struct connection *connection, uint32_t events, int operation)
{
	struct epoll_event event = {.events = events, .data.ptr = connection};

	if (epoll_ctl(run.epoll, operation, connection->descriptor, &event))
		die("epoll_ctl");
}

static void close_connection(struct connection *connection)
{
	close(connection->descriptor);
	connection->state = FREE;
}

static void fail(struct connection *connection)
{
	if (connection->state == CONNECTING || connection->state == READING) {
		run.refused += connection->state == CONNECTING;
		run.errors++;
		run.ended++;
	}
	close_connection(connection);
}

static void open_connection(struct connection *connection)
{
	int one = 1;

	connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->descriptor < 0)
		die("socket");
	setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection->state = CONNECTING;
	if (connect(connection->descriptor, (struct sockaddr *)&run.to, sizeof(run.to)) && errno != EINPROGRESS) {
		fail(connection);
		return;
	}
	watch(connection, EPOLLOUT, EPOLL_CTL_ADD);
}

static void send_request(struct connection *connection)
{
	connection->answer.length = connection->answer.total = 0;
	connection->state = READING;
	if (write(connection->descriptor, run.request, run.request_length) != (ssize_t)run.request_length)
		fail(connection);
}

static void record(struct connection *connection)
{
	uint64_t now = monotonic_ns();

	run.ended++;
	if (connection->answer.status != 200) {
		run.refused_status++;
		return;
	}
	if (connection->due >= run.warm_up_until)
		run.samples[run.sample_count++] = (uint32_t)((now - connection->due) / 10);
}

static void read_answer(struct connection *connection)
{
	struct answer *answer = &connection->answer;
	ssize_t got = read(connection->descriptor, answer->bytes + answer->length,
			   sizeof(answer->bytes) - 1 - answer->length);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 && connection->state == IDLE) {
		close_connection(connection);
		return;
	}
	if (got <= 0) {
		fail(connection);
		return;
	}
	answer->length += (size_t)got;
	switch (answer_check(answer)) {
	case 0:
		return;
	case 1:
		record(connection);
		connection->state = run.keep_alive ? IDLE : DRAINING;
		return;
	default:
		fail(connection);
	}
}

/* The server closes first, so that the ports of this side are free at once. */
static void drain(struct connection *connection)
{
	char rest[256];
	ssize_t got = read(connection->descriptor, rest, sizeof(rest));

	if (got == 0 || (got < 0 && errno != EAGAIN))
		close_connection(connection);
}

static void handle(struct connection *connection)
{
	int error = 0;
	socklen_t size = sizeof(error);

	switch (connection->state) {
	case CONNECTING:
		getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error) {
			fail(connection);
			return;
		}
		watch(connection, EPOLLIN, EPOLL_CTL_MOD);
		send_request(connection);
		return;
	case READING:
	case IDLE:
		read_answer(connection);
		if (connection->state == DRAINING)
			drain(connection);
		return;
	case DRAINING:
		drain(connection);
		return;
	case FREE:
		return;
	}
}

/* Gives requests that are due to connections that have time. */
static void start_due(struct connection *connections, size_t count)
{
	static size_t next;
	uint64_t now = monotonic_ns();
	size_t tried = 0;

	while (run.begun < run.planned && run.start + run.begun * run.interval <= now && tried < count) {
		struct connection *connection = &connections[next];

		next = (next + 1) % count;
		tried++;
		if (connection->state != FREE && connection->state != IDLE)
			continue;
		connection->due = run.start + run.begun * run.interval;
		run.begun++;
		tried = 0;
		if (connection->state == IDLE)
			send_request(connection);
		else
			open_connection(connection);
	}
}

static int ascending(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static double percentile(double percent)
{
	size_t rank;

	if (!run.sample_count)
		return 0;
	rank = (size_t)(percent / 100 * (double)run.sample_count);
	if (rank >= run.sample_count)
		rank = run.sample_count - 1;
	return run.samples[rank] / 100.0;
}

static void report(double seconds)
{
	static const double points[] = {1,  10, 20, 30, 40,   50, 60,   70,   75,    80,  85,
					90, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 100};
	double sum = 0;

	qsort(run.samples, run.sample_count, sizeof(*run.samples), ascending);
	for (size_t i = 0; i < run.sample_count; i++)
		sum += run.samples[i] / 100.0;
	printf("{\"requests\": %zu, \"errors\": %zu, \"refused\": %zu, \"other_status\": %zu, \"unfinished\": %zu, \"rate\": %.1f, "
	       "\"samples\": %zu, \"mean_us\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"curve\": [",
	       run.ended, run.errors, run.refused, run.refused_status, run.planned - run.ended, (double)run.ended / seconds,
	       run.sample_count, run.sample_count ? sum / (double)run.sample_count : 0, percentile(50),
	       percentile(99), percentile(99.9));
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++)
		printf("%s[%g, %.1f]", i ? ", " : "", points[i], percentile(points[i]));
	printf("]}\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"rate", 1, 0, 'r'},	    {"seconds", 1, 0, 's'}, {"keep-alive", 0, 0, 'k'},
		{"connections", 1, 0, 'c'}, {"warm-up", 1, 0, 'w'}, {"to", 1, 0, 't'},
		{"path", 1, 0, 'p'},	    {"cgroup", 1, 0, 'g'},  {"network", 1, 0, 'n'},
		{0, 0, 0, 0},
	};
	const char *to = "169.254.169.254:80", *path = "/", *cgroup = NULL, *network = NULL;
	double rate = 1000, seconds = 5, warm_up = 0.5;
	size_t count = 32;
	struct connection *connections;
	uint64_t give_up;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r': rate = atof(optarg); break;
		case 's': seconds = atof(optarg); break;
		case 'k': run.keep_alive = true; break;
		case 'c': count = (size_t)atoi(optarg); break;
		case 'w': warm_up = atof(optarg); break;
		case 't': to = optarg; break;
		case 'p': path = optarg; break;
		case 'g': cgroup = optarg; break;
		case 'n': network = optarg; break;
		default: return 2;
		}
	}
	errno = 0;
	if (rate <= 0 || seconds <= 0 || !count)
		die("rate, seconds and connections must be more than 0");
	enter_cgroup(cgroup);
	enter_network(network);
	run.to = parse_address(to);
	run.request_length = make_request(run.request, sizeof(run.request), path, "169.254.169.254", run.keep_alive);
	run.planned = (size_t)(rate * (seconds + warm_up));
	run.interval = (uint64_t)(1e9 / rate);
	run.samples = calloc(run.planned + 1, sizeof(*run.samples));
	connections = calloc(count, sizeof(*connections));
	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!run.samples || !connections || run.epoll < 0)
		die("cannot start");
	prctl(PR_SET_TIMERSLACK, 1UL);

	run.start = monotonic_ns() + 1000000;
	run.warm_up_until = run.start + (uint64_t)(warm_up * 1e9);
	give_up = run.start + (uint64_t)((seconds + warm_up + 5) * 1e9);
	while (run.ended < run.planned) {
		struct epoll_event events[64];
		uint64_t now, next = run.start + run.begun * run.interval;
		struct timespec wait = {0};
		int ready;

		start_due(connections, count);
		now = monotonic_ns();
		if (now > give_up)
			break;
		/* If all connections are busy, only an event can help. */
		next = run.start + run.begun * run.interval;
		if (run.begun == run.planned || next <= now)
			wait.tv_nsec = 10000000;
		else if (next - now > 10000000)
			wait.tv_nsec = 10000000;
		else
			wait.tv_nsec = (long)(next - now);
		ready = epoll_pwait2(run.epoll, events, 64, &wait, NULL);
		for (int i = 0; i < ready; i++)
			handle(events[i].data.ptr);
	}
	report((double)(monotonic_ns() - run.start) / 1e9);
	return 0;
}
