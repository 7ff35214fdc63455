#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un name(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

/* Makes a TCP socket and gives it to whoever connects to the Unix socket. */
void attack_pass(const char *path)
{
	struct sockaddr_un address = name(path);
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	char byte = 0;
	struct iovec vector = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd = make_stream(AF_INET, 0);
	int peer;

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0)
		fail("listen", errno);
	chmod(path, 0666);
	fprintf(stderr, "listening\n");
	peer = accept(listener, NULL, NULL);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(peer, &message, 0) < 0)
		fail("pass", errno);
	printf("passed\n");
}

/* Takes such a socket and connects it. */
void attack_take(const char *path, struct target target)
{
	struct sockaddr_un address = name(path);
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec vector = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int peer = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd;

	if (connect(peer, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("take", errno);
	if (recvmsg(peer, &message, 0) <= 0 || !CMSG_FIRSTHDR(&message))
		fail("take", errno);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
}

/* Makes a TCP socket, moves to another cgroup, and connects. */
void attack_move(const char *procs, struct target target)
{
	int fd = make_stream(AF_INET, 0);
	int file = open(procs, O_WRONLY);

	if (file < 0 || write(file, "0", 1) != 1)
		fail("move", errno);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
}
