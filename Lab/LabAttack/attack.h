/* Ways to a metadata server that pods should not have, each tried by the book.
 *
 * An attack prints what it got, a line beginning with "answered" if that was a
 * byte of an answer, and ends with status 0: it was made, whatever it got. One
 * that could not be made ends with another status and says why on standard error.
 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
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

/* main.c */

/* Reads an address and a port, or ends the program. */
struct target parse_target(const char *address, const char *port);
/* Makes a TCP socket that gives up connecting in good time. */
int make_stream(int family, int protocol);
/* Waits for input: 0 if none came in time. */
int wait_readable(int fd, int timeout_ms);
long now_ms(void);
/* The attempt was refused: prints by what, and ends the program. */
void fail(const char *what, int number) __attribute__((noreturn));
/* The attempt could not be made: ends the program with an error. */
void broken(const char *what, int number) __attribute__((noreturn));
/* Asks for a token on a connected socket and prints the answer's status and body. */
void ask(int fd);
/* The request that ask() sends. */
extern const char token_request[];
/* Raises the limit of open files. */
void allow_many_files(void);

/* tcp.c */
void attack_connect(char **argument);
void attack_keep_alive(char **argument);
void attack_loop(char **argument);
void attack_repair(char **argument);

/* exchange.c */
void attack_exchange(char **argument);

/* datagrams.c */
void attack_udp(char **argument);

/* packets.c */
void attack_raw(char **argument);
void attack_frame(char **argument);
void attack_route(char **argument);

/* handshake.c */
void attack_handshake(char **argument);
void attack_plant(char **argument);

/* descriptors.c */
void attack_pass(char **argument);
void attack_take(char **argument);
void attack_lend(char **argument);
void attack_borrow(char **argument);
void attack_move(char **argument);

/* flood.c */
void attack_flood(char **argument);
void attack_half_open(char **argument);
void attack_nest(char **argument);
void attack_churn(char **argument);

/* load.c */
void attack_load(char **argument);

/* kept.c */
void attack_kept(char **argument);
void attack_volley(char **argument);
void attack_queue(char **argument);

/* proxy.c */
void attack_proxy(char **argument);

/* loopback.c */
void attack_bind(char **argument);
void attack_stray(char **argument);

/* guards.c */
void attack_overwrite(char **argument);
