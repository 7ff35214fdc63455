// SPDX-License-Identifier: Apache-2.0
/* As much of an HTTP/1.1 answer as a load generator has to understand: where it ends, and its status. */
#ifndef BENCH_ANSWER_H
#define BENCH_ANSWER_H

#include "common.h"

struct answer {
	char bytes[16384];
	size_t length;
	size_t total; /* head and body; 0: not known yet */
	int status;
};

/* -1: this is no answer. 0: more has to come. 1: complete. */
static inline int answer_check(struct answer *answer)
{
	if (!answer->total) {
		char *end = memmem(answer->bytes, answer->length, "\r\n\r\n", 4);
		char *line;

		if (!end)
			return answer->length < sizeof(answer->bytes) - 1 ? 0 : -1;
		if (answer->length < 12 || memcmp(answer->bytes, "HTTP/1.", 7))
			return -1;
		answer->status = atoi(answer->bytes + 9);
		for (line = answer->bytes; line < end; line++) {
			line = memchr(line, '\n', (size_t)(end - line));
			if (!line)
				break;
			if (!strncasecmp(line + 1, "content-length:", 15)) {
				answer->total = (size_t)(end + 4 - answer->bytes) + strtoul(line + 16, NULL, 10);
				break;
			}
		}
		if (!answer->total || answer->total > sizeof(answer->bytes))
			return -1;
	}
	return answer->length >= answer->total;
}

/* Writes a request into `buffer` and returns its length. */
static inline size_t make_request(char *buffer, size_t size, const char *path, const char *host, bool keep_alive)
{
	int length = snprintf(buffer, size,
			      "GET %s HTTP/1.1\r\nHost: %s\r\nMetadata-Flavor: Google\r\n%s\r\n",
			      path, host, keep_alive ? "" : "Connection: close\r\n");

	if (length < 0 || (size_t)length >= size)
		die("the path is too long");
	return (size_t)length;
}

#endif
