#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char detection[] = "GET / HTTP/1.1\r\nHost: metadata.google.internal\r\n\r\n";

/* ADDRESS PORT COUNT: keeps so many connections after one answer on each, and then asks for a token on one more. */
void attack_kept(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	long count = atol(argument[2]), answered = 0;
	char answer[4096];
	int fd;

	allow_many_files();
	for (long i = 0; i < count; i++) {
		fd = make_stream(target.any.sa_family, 0);
		if (connect(fd, &target.any, target.length) < 0)
			fail("connect", errno);
		if (send(fd, detection, strlen(detection), MSG_NOSIGNAL) < 0)
			continue;
		if (wait_readable(fd, 4 * PATIENCE_MS) && recv(fd, answer, sizeof(answer), 0) > 12 &&
		    !memcmp(answer + 9, "200", 3))
			answered++;
	}
	fprintf(stderr, "%ld of %ld kept\n", answered, count);
	fd = make_stream(target.any.sa_family, 0);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
}

/* FIFO ADDRESS PORT: asks for a token when the lab opens the FIFO for writing, and says how long that took. */
void attack_volley(char **argument)
{
	struct target target = parse_target(argument[1], argument[2]);
	long start;
	int fd;

	fprintf(stderr, "waiting\n");
	fd = open(argument[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		broken("open", errno);
	close(fd);
	start = now_ms();
	fd = make_stream(target.any.sa_family, 0);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
	printf("%ld ms\n", now_ms() - start);
}

#define QUEUED_MAX 8192

/* ADDRESS PORT COUNT: begins so many connections at once and says on standard error how many are established. Asks for
 * a token on the first of them when it gets SIGUSR1.
 */
void attack_queue(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	static struct pollfd queued[QUEUED_MAX];
	long count = atol(argument[2]), begun = 0, refused = 0, connected = 0;
	int number, first = -1;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	allow_many_files();
	for (long i = 0; i < count && i < QUEUED_MAX; i++) {
		int fd = socket(target.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

		if (fd < 0)
			broken("socket", errno);
		if (connect(fd, &target.any, target.length) == 0 || errno == EINPROGRESS) {
			queued[begun++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
			continue;
		}
		refused++;
		close(fd);
	}
	/* On the loopback interface a connection is established at once, or not before the kernel tries again. */
	if (begun == 1)
		poll(queued, 1, PATIENCE_MS);
	poll(queued, (nfds_t)begun, 0);
	for (long i = 0; i < begun; i++) {
		if ((queued[i].revents & (POLLOUT | POLLERR | POLLHUP)) != POLLOUT)
			continue;
		connected++;
		if (first < 0)
			first = queued[i].fd;
	}
	fprintf(stderr, "%ld connected, %ld refused\nholding\n", connected, refused);
	sigwait(&signals, &number);
	if (first < 0)
		fail("connect", ETIMEDOUT);
	ask(first);
}
