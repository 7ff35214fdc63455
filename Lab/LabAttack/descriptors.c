#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static struct sockaddr_un name(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

/* Gives `fd` to the peer that connects to the Unix socket; returns the connection. */
static int give(const char *path, int fd)
{
	struct sockaddr_un address = name(path);
	union control control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
					      .cmsg_len = CMSG_LEN(sizeof(int)) } };
	char byte = 0;
	struct iovec vector = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int peer;

	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0)
		broken("listen", errno);
	chmod(path, 0666);
	fprintf(stderr, "listening\n");
	peer = accept(listener, NULL, NULL);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(peer, &message, 0) < 0)
		broken("pass", errno);
	return peer;
}

/* Receives a descriptor; `peer` is the connection it came over. */
static int receive(const char *path, int *peer)
{
	struct sockaddr_un address = name(path);
	union control control;
	char byte;
	struct iovec vector = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	*peer = socket(AF_UNIX, SOCK_STREAM, 0);
	if (connect(*peer, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    recvmsg(*peer, &message, 0) <= 0 || !CMSG_FIRSTHDR(&message))
		broken("take", errno);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static int is_datagram(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
	return type == SOCK_DGRAM;
}

/* PATH FAMILY TYPE: makes a socket and gives it to every peer that asks. */
void attack_pass(char **argument)
{
	int family = !strcmp(argument[1], "6") ? AF_INET6 : AF_INET;
	int fd = !strcmp(argument[2], "datagram") ? socket(family, SOCK_DGRAM, 0) :
						    make_stream(family, 0);

	if (fd < 0)
		broken("socket", errno);
	give(argument[0], fd);
	printf("passed\n");
}

/* PATH ADDRESS PORT: takes such a socket and uses it. */
void attack_take(char **argument)
{
	struct target target = parse_target(argument[1], argument[2]);
	int peer;
	int fd = receive(argument[0], &peer);
	char echo[64];

	if (is_datagram(fd)) {
		if (sendto(fd, echo, 1, 0, &target.any, target.length) < 0)
			fail("send", errno);
		printf(wait_readable(fd, PATIENCE_MS) && recv(fd, echo, sizeof(echo), 0) > 0 ?
			       "answered\n" :
			       "sent, no answer\n");
		return;
	}
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
}

/* PATH: makes a socket, has another process connect it, and asks on it. */
void attack_lend(char **argument)
{
	int fd = make_stream(AF_INET, 0);
	int peer = give(argument[0], fd);
	int number = 0;

	if (recv(peer, &number, sizeof(number), MSG_WAITALL) != sizeof(number))
		broken("lend", EPIPE);
	if (number)
		fail("connect", number);
	ask(fd);
}

/* PATH ADDRESS PORT: the other process, which connects what it is given. */
void attack_borrow(char **argument)
{
	struct target target = parse_target(argument[1], argument[2]);
	int peer;
	int fd = receive(argument[0], &peer);
	int number = connect(fd, &target.any, target.length) < 0 ? errno : 0;

	if (send(peer, &number, sizeof(number), 0) < 0)
		broken("borrow", errno);
	wait_readable(peer, 5000);
	printf("connected for another\n");
}

/* PROCS ADDRESS PORT: makes a TCP socket, moves to another cgroup, and connects. */
void attack_move(char **argument)
{
	struct target target = parse_target(argument[1], argument[2]);
	int fd = make_stream(AF_INET, 0);
	int file = open(argument[0], O_WRONLY);

	if (file < 0 || write(file, "0", 1) != 1)
		broken("move", errno);
	if (connect(fd, &target.any, target.length) < 0)
		fail("connect", errno);
	ask(fd);
}
