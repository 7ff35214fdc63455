/* TCP segments made by hand, with the header of either IP family. */
#pragma once

#include "attack.h"

#include <netinet/tcp.h>

struct packet {
	uint8_t bytes[1600];
	size_t length;
};

/* The parts of a received segment that matter. */
struct segment {
	struct tcphdr tcp;
	size_t payload;
};

struct packet make_segment(struct target source, struct target target, uint8_t flags, uint32_t seq,
			   uint32_t ack, const char *payload);
/* Whether the bytes are a segment from `target` to `source`. */
int read_segment(const uint8_t *bytes, ssize_t length, struct target source, struct target target,
		 struct segment *segment);
/* Reads six bytes in hexadecimal, or ends the program. */
void parse_hardware(const char *text, uint8_t address[8]);
/* A socket for whole packets of `protocol` (host order) on an interface. */
int open_link(const char *interface, uint16_t protocol);
void send_frame(int fd, const char *interface, const uint8_t to[8], uint16_t protocol,
		const void *bytes, size_t length);
