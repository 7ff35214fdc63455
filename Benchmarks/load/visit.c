// SPDX-License-Identifier: Apache-2.0
/*
 * Lets many pods ask: a process for each, in the pod's own cgroup and network namespace, asks for each path on a new
 * connection. One after the other, or all together.
 *
 * A line "CGROUP_PROCS NETWORK" on standard input is a pod; a line of JSON on standard output is what it got.
 *
 *   visit [--together] [--retry] [--to 169.254.169.254:80] --path P [--path P ...]
 *   visit --here --path P     asks itself, wherever it is, and reads no standard input
 *
 * With --retry it asks again, after 1 ms, until it gets 200 or 30 s have passed: how long was the agent away?
 */
#include "answer.h"

#include <getopt.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PATHS 4
#define PODS 1024

struct visit {
	double begin, end; /* seconds since 1970 */
	double milliseconds[PATHS];
	int statuses[PATHS]; /* 0: no answer */
	int attempts;
};

static const char *paths[PATHS];
static int path_count;
static struct sockaddr_in to;
static bool retries;

static int ask(const char *path)
{
	static struct answer answer;
	/* A SYN that fell between two states of the agent is sent again only after a second: try anew instead. */
	struct timeval limit = {.tv_sec = retries ? 1 : 10};
	char request[2048];
	size_t length = make_request(request, sizeof(request), path, "169.254.169.254", false);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), state = 0;

	answer.length = answer.total = 0;
	if (client < 0)
		return 0;
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* also bounds connect() */
	if (!connect(client, (struct sockaddr *)&to, sizeof(to)) &&
	    send(client, request, length, MSG_NOSIGNAL) == (ssize_t)length) {
		while (state == 0) {
			ssize_t got = read(client, answer.bytes + answer.length, sizeof(answer.bytes) - 1 - answer.length);

			if (got <= 0)
				break;
			answer.length += (size_t)got;
			state = answer_check(&answer);
		}
	}
	close(client);
	return state == 1 ? answer.status : 0;
}

static void visit(struct visit *visit)
{
	visit->begin = (double)clock_ns(CLOCK_REALTIME) / 1e9;
	for (int i = 0; i < path_count; i++) {
		uint64_t begin = monotonic_ns();

		for (;;) {
			visit->statuses[i] = ask(paths[i]);
			visit->attempts++;
			if (!retries || visit->statuses[i] == 200 || monotonic_ns() - begin > 30000000000ULL)
				break;
			usleep(1000);
		}
		visit->milliseconds[i] = (double)(monotonic_ns() - begin) / 1e6;
	}
	visit->end = (double)clock_ns(CLOCK_REALTIME) / 1e9;
}

static void print(const struct visit *visit)
{
	printf("{\"begin\": %.6f, \"end\": %.6f, \"attempts\": %d, \"milliseconds\": [", visit->begin, visit->end,
	       visit->attempts);
	for (int i = 0; i < path_count; i++)
		printf("%s%.3f", i ? ", " : "", visit->milliseconds[i]);
	printf("], \"statuses\": [");
	for (int i = 0; i < path_count; i++)
		printf("%s%d", i ? ", " : "", visit->statuses[i]);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"together", 0, 0, 'a'}, {"retry", 0, 0, 'r'}, {"to", 1, 0, 't'}, {"path", 1, 0, 'p'}, {"here", 0, 0, 'h'},
		{0, 0, 0, 0},
	};
	const char *address = "169.254.169.254:80";
	char line[4096], cgroup[2048], network[1024];
	int go[2], ready[2], option, count = 0;
	bool together = false, here = false;
	struct visit *visits;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a': together = true; break;
		case 'r': retries = true; break;
		case 'h': here = true; break;
		case 't': address = optarg; break;
		case 'p':
			if (path_count < PATHS)
				paths[path_count++] = optarg;
			break;
		default: return 2;
		}
	}
	errno = 0;
	to = parse_address(address);
	visits = mmap(NULL, sizeof(*visits) * PODS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (visits == MAP_FAILED || pipe(go) || pipe(ready))
		die("cannot start");
	if (here) {
		visit(visits);
		print(visits);
		return 0;
	}
	while (count < PODS && fgets(line, sizeof(line), stdin)) {
		pid_t child;

		if (sscanf(line, "%2047s %1023s", cgroup, network) != 2)
			die("not a pod: %s", line);
		child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			char byte = 0;

			close(go[1]);
			enter_cgroup(cgroup);
			enter_network(network);
			if (together && (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) < 0))
				_exit(1);
			visit(&visits[count]);
			_exit(0);
		}
		if (!together)
			waitpid(child, NULL, 0);
		count++;
	}
	if (together) {
		/* All are in place before the first may go. */
		for (int i = 0; i < count; i++) {
			char byte;

			if (read(ready[0], &byte, 1) != 1)
				die("a pod could not be entered");
		}
		close(go[1]);
	}
	while (wait(NULL) > 0)
		;
	for (int i = 0; i < count; i++)
		print(&visits[i]);
	return 0;
}
