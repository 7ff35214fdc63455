#include "attack.h"

#include <errno.h>
#include <stdio.h>

/* ADDRESS PORT: tries to listen where the agent does. */
void attack_bind(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	int fd = make_stream(target.any.sa_family, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, &target.any, target.length) < 0)
		fail("bind", errno);
	if (listen(fd, 16) < 0)
		fail("listen", errno);
	printf("listening\n");
}

/* ADDRESS PORT LISTENER PORT: connects to the first, and with the same socket to the
 * agent's own listener.
 */
void attack_stray(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	struct target listener = parse_target(argument[2], argument[3]);
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	int fd = make_stream(target.any.sa_family, 0);

	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	connect(fd, &nowhere, sizeof(nowhere));
	if (connect(fd, &listener.any, listener.length) < 0)
		fail("connect again", errno);
	ask(fd);
}
