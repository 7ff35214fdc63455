#include "attack.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CASES_MAX 200
/* More than all answers on one connection. */
#define ANSWER_MAX (64 * 1024)
/* Milliseconds after which a server that has answered says no more. */
#define QUIET_MS 150

static struct exchange {
	int fd;
	/* The peer has ended it, or there is no room for more. */
	int is_over;
	const char *how;
	/* When the last bytes came. */
	long last;
	size_t length;
	/* With room for a final NUL. */
	char answer[ANSWER_MAX + 1];
} exchanges[CASES_MAX];

/* Replaces \r, \n, \\ and \xNN by the bytes they stand for; returns the length. */
static size_t unescape(char *text)
{
	size_t length = 0;

	for (const char *c = text; *c; c++) {
		unsigned byte;

		if (*c != '\\') {
			text[length++] = *c;
		} else if (c[1] == 'x' && sscanf(c + 2, "%2x", &byte) == 1) {
			text[length++] = (char)byte;
			c += 3;
		} else {
			text[length++] = c[1] == 'r' ? '\r' : c[1] == 'n' ? '\n' : c[1];
			c++;
		}
	}
	return length;
}

/* Milliseconds for which more may come on a connection; 0: no more is waited for. */
static long rest_of(const struct exchange *exchange, long begun, long now)
{
	long end = exchange->length ? exchange->last + QUIET_MS : begun + 4 * PATIENCE_MS;

	return !exchange->is_over && end > now ? end - now : 0;
}

static void receive(struct exchange *exchange)
{
	ssize_t got = recv(exchange->fd, exchange->answer + exchange->length, ANSWER_MAX - exchange->length, 0);

	if (got <= 0) {
		exchange->how = got ? "reset" : "closed";
		exchange->is_over = 1;
		return;
	}
	exchange->length += (size_t)got;
	exchange->last = now_ms();
	exchange->is_over = exchange->length == ANSWER_MAX;
}

/* Reads on all connections at the same time, so that the silences that end them are one. Returns when each was ended by its
 * peer, or silent for as long as it may be.
 */
static void receive_all(int count)
{
	static struct pollfd polled[CASES_MAX];
	long begun = now_ms();

	for (;;) {
		long now = now_ms(), longest = 0;

		for (int i = 0; i < count; i++) {
			long rest = rest_of(&exchanges[i], begun, now);

			if (rest > longest)
				longest = rest;
			polled[i] = (struct pollfd){ .fd = exchanges[i].is_over ? -1 : exchanges[i].fd,
						     .events = POLLIN };
		}
		if (!longest)
			return;
		poll(polled, (nfds_t)count, (int)longest);
		for (int i = 0; i < count; i++)
			if (polled[i].revents)
				receive(&exchanges[i]);
	}
}

/* Prints the statuses of all answers in the order of their arrival, and the first token. */
static void print_answers(struct exchange *exchange)
{
	char *answer = exchange->answer;
	const char *at, *token;

	/* A zero byte in an answer would hide what follows. */
	for (size_t i = 0; i < exchange->length; i++)
		if (!answer[i])
			answer[i] = '0';
	printf("%s", exchange->length ? "answered" : "nothing");
	for (at = answer; (at = strstr(at, "HTTP/1.")); at += 7)
		if (strcspn(at, " ") == 8 && isdigit(at[9]) && isdigit(at[10]))
			printf(" %.3s", at + 9);
	token = strstr(answer, "{\"access_token\"");
	printf(" %s %.*s\n", exchange->how, token ? (int)strcspn(token, "}") + 1 : 0, token ? token : "");
}

/* ADDRESS PORT BYTES...: for each a connection on which just these bytes are sent, and a
 * line that says what came back. A final "\h" half-closes after the last byte.
 */
void attack_exchange(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	int count = 0;

	for (char **bytes = argument + 2; *bytes && count < CASES_MAX; bytes++, count++) {
		size_t length = strlen(*bytes);
		int half_closes = length > 1 && !strcmp(*bytes + length - 2, "\\h");
		int fd = make_stream(target.any.sa_family, 0);

		exchanges[count].fd = fd;
		exchanges[count].how = "open";
		if (half_closes)
			(*bytes)[length - 2] = 0;
		length = unescape(*bytes);
		if (connect(fd, &target.any, target.length) < 0)
			fail("connect", errno);
		/* An early refusal may close before all of a long request is sent. */
		for (size_t sent = 0; sent < length;) {
			ssize_t step = send(fd, *bytes + sent, length - sent, MSG_NOSIGNAL);

			if (step <= 0)
				break;
			sent += (size_t)step;
		}
		if (half_closes)
			shutdown(fd, SHUT_WR);
	}
	receive_all(count);
	for (int i = 0; i < count; i++) {
		print_answers(&exchanges[i]);
		close(exchanges[i].fd);
	}
}
