#include "attack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* HOW ADDRESS PORT: sends one datagram and waits for its echo. */
void attack_udp(char **argument)
{
	struct target target = parse_target(argument[1], argument[2]);
	static const char words[] = "lab-attack";
	char echo[64];
	int fd = socket(target.any.sa_family, SOCK_DGRAM, 0);
	struct iovec vector = { .iov_base = (void *)words, .iov_len = sizeof(words) };
	struct msghdr message = {
		.msg_name = &target.any, .msg_namelen = target.length, .msg_iov = &vector, .msg_iovlen = 1,
	};

	if (fd < 0)
		broken("socket", errno);
	if (!strcmp(argument[0], "connected")) {
		if (connect(fd, &target.any, target.length) < 0)
			fail("connect", errno);
		message.msg_name = NULL;
		message.msg_namelen = 0;
	}
	if (sendmsg(fd, &message, 0) < 0)
		fail("send", errno);
	if (!wait_readable(fd, PATIENCE_MS))
		printf("sent, no answer\n");
	else if (recv(fd, echo, sizeof(echo), 0) < 0)
		fail("receive", errno);
	else
		printf("answered\n");
}
