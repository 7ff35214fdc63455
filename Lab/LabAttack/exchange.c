#include "attack.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CASES_MAX 200

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

/* Prints the statuses of all answers in the order of their arrival, and the first token. */
static void print_answers(int fd)
{
	static char answer[1 << 20];
	size_t length = 0;
	const char *how = "open";
	const char *at, *token;

	while (length < sizeof(answer) - 1) {
		ssize_t got;

		if (!wait_readable(fd, length ? 150 : 4 * PATIENCE_MS))
			break;
		got = recv(fd, answer + length, sizeof(answer) - 1 - length, 0);
		if (got <= 0) {
			how = got ? "reset" : "closed";
			break;
		}
		length += (size_t)got;
	}
	answer[length] = 0;
	/* A zero byte in an answer would hide what follows. */
	for (size_t i = 0; i < length; i++)
		if (!answer[i])
			answer[i] = '0';
	printf("%s", length ? "answered" : "nothing");
	for (at = answer; (at = strstr(at, "HTTP/1.")); at += 7)
		if (strcspn(at, " ") == 8 && isdigit(at[9]) && isdigit(at[10]))
			printf(" %.3s", at + 9);
	token = strstr(answer, "{\"access_token\"");
	printf(" %s %.*s\n", how, token ? (int)strcspn(token, "}") + 1 : 0, token ? token : "");
}

/* ADDRESS PORT BYTES...: for each a connection on which just these bytes are sent, and a
 * line that says what came back. A final "\h" half-closes after the last byte.
 */
void attack_exchange(char **argument)
{
	struct target target = parse_target(argument[0], argument[1]);
	int fd[CASES_MAX];
	int count = 0;

	for (char **bytes = argument + 2; *bytes && count < CASES_MAX; bytes++, count++) {
		size_t length = strlen(*bytes);
		int half_closes = length > 1 && !strcmp(*bytes + length - 2, "\\h");

		if (half_closes)
			(*bytes)[length - 2] = 0;
		length = unescape(*bytes);
		fd[count] = make_stream(target.any.sa_family, 0);
		if (connect(fd[count], &target.any, target.length) < 0)
			fail("connect", errno);
		/* An early refusal may close before all of a long request is sent. */
		for (size_t sent = 0; sent < length;) {
			ssize_t step = send(fd[count], *bytes + sent, length - sent, MSG_NOSIGNAL);

			if (step <= 0)
				break;
			sent += (size_t)step;
		}
		if (half_closes)
			shutdown(fd[count], SHUT_WR);
	}
	for (int i = 0; i < count; i++) {
		print_answers(fd[i]);
		close(fd[i]);
	}
}
