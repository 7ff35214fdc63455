// SPDX-License-Identifier: Apache-2.0
/*
 * How long connect() takes, in nanoseconds, to a listener of this very process on loopback: there the handshake is
 * done inside the call, on one processor, and no other process takes part.
 *
 *   connect [--count 20000] [--processor 0] [--address 127.0.0.1] [--cgroup .../cgroup.procs] [--network ...]
 */
#include "common.h"

#include <getopt.h>

static int ascending(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static uint32_t measure(int listener, const struct sockaddr_in *to)
{
	/* Both ends vanish at once: no TIME_WAIT, whatever the count. */
	static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
	uint64_t begin, end;

	begin = monotonic_ns();
	if (client < 0 || connect(client, (const struct sockaddr *)to, sizeof(*to)))
		die("connect");
	end = monotonic_ns();
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (server < 0)
		die("accept");
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	close(server);
	return (uint32_t)(end - begin);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"count", 1, 0, 'c'},  {"processor", 1, 0, 'p'}, {"address", 1, 0, 'a'},
		{"cgroup", 1, 0, 'g'}, {"network", 1, 0, 'n'},	 {0, 0, 0, 0},
	};
	const char *address = "127.0.0.1", *cgroup = NULL, *network = NULL;
	struct sockaddr_in to = {.sin_family = AF_INET};
	socklen_t size = sizeof(to);
	long count = 20000, processor = -1;
	uint32_t *samples;
	double sum = 0;
	int listener, option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c': count = atol(optarg); break;
		case 'p': processor = atol(optarg); break;
		case 'a': address = optarg; break;
		case 'g': cgroup = optarg; break;
		case 'n': network = optarg; break;
		default: return 2;
		}
	}
	errno = 0;
	enter_cgroup(cgroup);
	enter_network(network);
	if (processor >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(processor, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			die("cannot run on processor %ld", processor);
	}
	samples = count > 0 ? calloc((size_t)count, sizeof(*samples)) : NULL;
	if (!samples || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		die("bad count or address");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&to, sizeof(to)) || listen(listener, 16) ||
	    getsockname(listener, (struct sockaddr *)&to, &size))
		die("cannot listen on %s", address);

	for (long i = 0; i < 1000; i++)
		measure(listener, &to);
	for (long i = 0; i < count; i++)
		samples[i] = measure(listener, &to);
	qsort(samples, (size_t)count, sizeof(*samples), ascending);
	/* The lower 90 %: what an interrupt or the hypervisor took is not the call's. */
	for (long i = 0; i < count * 9 / 10; i++)
		sum += samples[i];
	printf("{\"count\": %ld, \"median_ns\": %u, \"p10_ns\": %u, \"p90_ns\": %u, \"mean90_ns\": %.1f}\n", count,
	       samples[count / 2], samples[count / 10], samples[count * 9 / 10], sum / (double)(count * 9 / 10));
	return 0;
}
