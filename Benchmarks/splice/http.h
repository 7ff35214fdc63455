/* The one answer that server and client know: what a token looks like on the wire,
 * with the request's number all through it, so that no byte of another answer fits.
 */
#pragma once

#include <stdio.h>
#include <string.h>

/* What captures look for. */
#define TOKEN_MARK "SPLICE-TOKEN"
#define REQUEST_MARK "SPLICE-REQUEST"
#define NUMBER_DIGITS 10
#define TOKEN_BLOCKS 64
/* A block: the number and "-token", 16 bytes. */
#define TOKEN_BYTES (TOKEN_BLOCKS * 16)
#define ANSWER_MAX (TOKEN_BYTES + 512)

/* Writes the whole answer to request `number`; its length is the same for all. */
static inline size_t write_answer(char *to, unsigned long number)
{
	char block[17], body_start[64];
	int start = snprintf(body_start, sizeof(body_start), "{\"access_token\":\"" TOKEN_MARK);
	int at = sprintf(to,
			 "HTTP/1.1 200 OK\r\nMetadata-Flavor: Google\r\nContent-Type: application/json\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 (size_t)start + TOKEN_BYTES + 2, body_start);

	snprintf(block, sizeof(block), "%010lu-token", number);
	for (int index = 0; index < TOKEN_BLOCKS; index++)
		memcpy(to + at + index * 16, block, 16);
	at += TOKEN_BYTES;
	memcpy(to + at, "\"}", 2);
	return (size_t)at + 2;
}
