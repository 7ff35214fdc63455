// SPDX-License-Identifier: Apache-2.0
/*
 * What kernel programs cost everybody else. Does the same work without any, and with each of several sets of them
 * attached, in turns, and prints the nanoseconds of one operation, a value a round: a machine that slows down moves
 * all of them. Every operation is done within its own system calls, on one processor, by one thread that nothing
 * interrupts for long (SCHED_FIFO): no scheduler takes part, and no statistics of the kernel, whose own price is more
 * than that of most programs.
 *
 *   hooks --root CGROUP --kubepods CGROUP:LEVEL --node NETNS --place NAME:CGROUP:NETNS:PEER-NETNS:ADDRESS ...
 *         --set NAME:DIRECTORY:root|kubepods:NETFILTER ... [--work NAME] [--rounds 15] [--ms 20]
 *
 * One line of JSON for each place and work.
 */
#include "hooks.h"

#include <getopt.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PLACES_MAX 8
#define ROUNDS_MAX 128
#define CHUNKS_MAX 4096

enum kind { DATAGRAM, CONNECTED_DATAGRAM, PING_PONG, BULK, CONNECT, CYCLE };

struct work {
	const char *name;
	enum kind kind;
	/* In one chunk, whose mean is one sample. */
	int operations;
};

static const struct work works[] = {
	{ "sendto", DATAGRAM, 50 }, { "send", CONNECTED_DATAGRAM, 50 }, { "ping-pong", PING_PONG, 20 },
	{ "bulk", BULK, 10 },	    { "connect", CONNECT, 10 },		{ "cycle", CYCLE, 10 },
};

struct place {
	char *name, *cgroup, *network, *peer_network, *address;
};

/* The sockets of one work at one place. */
struct run {
	int near, far, listener;
	struct sockaddr_in to;
};

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

static void open_run(const struct work *work, const struct place *place, struct run *run)
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

static void close_run(struct run *run)
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

/* Nanoseconds of connect() alone. */
static uint64_t connect_once(const struct run *run)
{
	/* Both ends vanish at once: no TIME_WAIT, whatever the count. */
	static const struct linger reset = { .l_onoff = 1 };
	int client = socket(AF_INET, SOCK_STREAM, 0), server;
	uint64_t begin = monotonic_ns(), spent;

	if (connect(client, (const struct sockaddr *)&run->to, sizeof(run->to)))
		die("connect");
	spent = monotonic_ns() - begin;
	server = accept(run->listener, NULL, NULL);
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
static double do_batch(const struct work *work, const struct run *run, int ms)
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

static void print_values(const char *name, const double *values, int count, bool is_first)
{
	printf("%s\"%s\": [", is_first ? "" : ", ", name);
	for (int i = 0; i < count; i++)
		printf("%s%.1f", i ? ", " : "", values[i]);
	printf("]");
}

static void measure(const struct work *work, const struct place *place, struct set *sets, int set_count,
		    const struct ground *ground, int rounds, int ms)
{
	static double values[SETS_MAX + 1][ROUNDS_MAX];
	struct run run;

	enter_cgroup(place->cgroup);
	open_run(work, place, &run);
	do_batch(work, &run, ms);
	for (int round = 0; round < rounds; round++) {
		for (int turn = 0; turn <= set_count; turn++) {
			/* Nobody is always the first. */
			int which = (turn + round) % (set_count + 1);

			if (which < set_count)
				attach_set(&sets[which], ground);
			enter_network(place->network);
			values[which][round] = do_batch(work, &run, ms);
			if (which < set_count)
				detach_set(&sets[which]);
			/* What detaching leaves to others. */
			usleep(3000);
		}
	}
	close_run(&run);
	printf("{\"place\": \"%s\", \"work\": \"%s\", \"values\": {", place->name, work->name);
	print_values("none", values[set_count], rounds, true);
	for (int i = 0; i < set_count; i++)
		print_values(sets[i].name, values[i], rounds, false);
	printf("}}\n");
	fflush(stdout);
}

static int open_cgroup(const char *path, uint64_t *id)
{
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;

	if (directory < 0 || fstat(directory, &status))
		die("open %s", path);
	if (id)
		*id = status.st_ino;
	return directory;
}

static void run_alone(void)
{
	struct sched_param parameters = { .sched_priority = 20 };
	long last = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)last, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || sched_setscheduler(0, SCHED_FIFO, &parameters) ||
	    mlockall(MCL_CURRENT | MCL_FUTURE))
		die("run before everything else");
}

static char *part(char **rest)
{
	char *word = strsep(rest, ":");

	if (!word || !*word)
		die("a part is missing");
	return word;
}

static struct place parse_place(char *words)
{
	struct place place;

	place.name = part(&words);
	place.cgroup = part(&words);
	place.network = part(&words);
	place.peer_network = part(&words);
	place.address = part(&words);
	return place;
}

static int print_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "root", 1, 0, 'r' },	 { "kubepods", 1, 0, 'k' }, { "node", 1, 0, 'n' },   { "place", 1, 0, 'p' },
		{ "set", 1, 0, 's' },	 { "work", 1, 0, 'w' },	    { "rounds", 1, 0, 'c' }, { "ms", 1, 0, 'm' },
		{ 0, 0, 0, 0 },
	};
	char *set_words[SETS_MAX], *wanted = NULL;
	int set_count = 0, place_count = 0, rounds = 15, ms = 20, option;
	struct place places[PLACES_MAX];
	struct set sets[SETS_MAX] = {};
	struct ground ground = {};

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r': ground.root = open_cgroup(optarg, NULL); break;
		case 'k':
			ground.kubepods = open_cgroup(part(&optarg), &ground.kubepods_id);
			ground.kubepods_level = (uint32_t)atoi(part(&optarg));
			break;
		case 'n': ground.node_network = optarg; break;
		case 'p':
			if (place_count == PLACES_MAX)
				die("too many places");
			places[place_count++] = parse_place(optarg);
			break;
		case 's':
			if (set_count == SETS_MAX)
				die("too many sets");
			set_words[set_count++] = optarg;
			break;
		case 'w': wanted = optarg; break;
		case 'c': rounds = atoi(optarg); break;
		case 'm': ms = atoi(optarg); break;
		default: return 2;
		}
	}
	if (rounds < 1 || rounds > ROUNDS_MAX)
		die("1 to %d rounds", ROUNDS_MAX);
	libbpf_set_print(print_warnings);
	for (int i = 0; i < set_count; i++) {
		char *words = set_words[i], *directory;

		sets[i].name = part(&words);
		directory = part(&words);
		sets[i].guards_everybody = !strcmp(part(&words), "root");
		sets[i].netfilter = part(&words);
		load_set(&sets[i], directory, &ground);
	}
	run_alone();
	for (int p = 0; p < place_count; p++)
		for (size_t w = 0; w < sizeof(works) / sizeof(works[0]); w++)
			if (!wanted || !strcmp(wanted, works[w].name))
				measure(&works[w], &places[p], sets, set_count, &ground, rounds, ms);
	return 0;
}
