#include "attack.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char **fixed;

/* Carries bytes both ways until either side ends. */
static void *carry(void *argument)
{
	int client = (int)(intptr_t)argument;
	struct target target = { .length = sizeof(target.v4) };
	struct pollfd side[2] = { { .fd = client, .events = POLLIN }, { .events = POLLIN } };
	struct linger reset = { .l_onoff = 1 };
	char bytes[16384];

	if (fixed)
		target = parse_target(fixed[0], fixed[1]);
	else if (getsockopt(client, SOL_IP, SO_ORIGINAL_DST, &target.v4, &target.length) < 0)
		goto close_client;
	side[1].fd = make_stream(target.any.sa_family, 0);
	if (connect(side[1].fd, &target.any, target.length) < 0)
		goto close_both;
	while (poll(side, 2, 10 * PATIENCE_MS) > 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t length;

			if (!side[i].revents)
				continue;
			length = recv(side[i].fd, bytes, sizeof(bytes), 0);
			if (length <= 0 ||
			    send(side[1 - i].fd, bytes, (size_t)length, MSG_NOSIGNAL) != length)
				goto close_both;
		}
	}
close_both:
	close(side[1].fd);
close_client:
	/* As a proxy does whose upstream has gone. */
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client);
	return NULL;
}

/* PORT, and optionally ADDRESS PORT: takes connections and passes them on to where they were
 * going before iptables turned them here, or to the address given.
 */
void attack_proxy(char **argument)
{
	struct target own = parse_target("0.0.0.0", argument[0]);
	int listener = make_stream(AF_INET, 0);
	int on = 1;

	fixed = argument[1] ? argument + 1 : NULL;
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, &own.any, own.length) < 0 || listen(listener, 16) < 0)
		broken("listen", errno);
	fprintf(stderr, "listening\n");
	for (;;) {
		int client = accept(listener, NULL, NULL);
		pthread_t thread;

		if (client < 0)
			continue;
		printf("took a connection\n");
		if (pthread_create(&thread, NULL, carry, (void *)(intptr_t)client))
			broken("thread", errno);
		pthread_detach(thread);
	}
}
