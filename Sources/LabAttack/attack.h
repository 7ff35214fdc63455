/* Ways to a metadata server that pods should not have, each tried by the book.
 * Every attack prints one line: what it got.
 */
#pragma once

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

/* An address of either family with its port. */
struct target {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t length;
};

/* Milliseconds after which nothing more is expected. On a bridge of this machine
 * answers take microseconds.
 */
#define PATIENCE_MS 700

/* Reads an address and a port, or ends the program. */
struct target parse_target(const char *address, const char *port);
/* Makes a TCP socket that gives up connecting in good time. */
int make_stream(int family, int protocol);
/* Waits for input: 0 if none came in time. */
int wait_readable(int fd, int timeout_ms);
/* Prints "refused NAME" for an error number, and ends the program. */
void fail(const char *what, int number) __attribute__((noreturn));
/* Asks for a token on a connected socket and prints the answer's status and body. */
void ask(int fd);

/* tcp.c: HOW ADDRESS PORT */
void attack_connect(const char *how, struct target target);
void attack_keep_alive(struct target target);
void attack_repair(struct target source, struct target target);

/* datagrams.c */
void attack_udp(const char *how, struct target target);

/* packets.c */
void attack_raw(const char *how, struct target source, struct target target);
void attack_frame(const char *interface, const char *router, struct target source,
		  struct target target);

/* descriptors.c */
void attack_pass(const char *path);
void attack_take(const char *path, struct target target);
void attack_move(const char *procs, struct target target);

/* flood.c */
void attack_flood(struct target target, long connects, long threads);
void attack_hold(struct target target, long connections, long seconds);
