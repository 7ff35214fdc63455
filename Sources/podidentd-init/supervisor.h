/* What the loop in main.c stands on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* More listening sockets than an agent has. */
#define KEPT_MAX 8

/* Copies of the agent's listening sockets. */
struct kept {
	int descriptors[KEPT_MAX];
	unsigned int count;
	/* They are another agent's by now. */
	bool replaced;
};

enum message {
	/* The agent serves, and these are its sockets. */
	MESSAGE_KEEP,
	/* A successor has them. */
	MESSAGE_FORGET,
	/* The agent has closed its end. */
	MESSAGE_END,
	MESSAGE_INVALID,
};

/* A socket for messages, whose first end no program inherits. */
int make_pair(int ends[2]);
/* The first message of the socket. */
bool send_start(int socket, unsigned int restarts, int last_status, const struct kept *kept);
/* Takes one message, and does to `kept` what it says. */
enum message receive_message(int socket, struct kept *kept);
/* Closes the copies. */
void forget(struct kept *kept);

/* Crashes within CRASHES_WINDOW milliseconds after which the supervisor ends, too. */
#define CRASHES_MAX 6
#define CRASHES_WINDOW 60000

/* When the agent crashed last, oldest first. */
struct crashes {
	int64_t times[CRASHES_MAX];
	unsigned int count;
};

/* Counts a crash at `now`, in milliseconds of a clock that never goes back.
 *
 * Returns the pause before the next start: none after the first two within the window, then 1, 2 and 4 s; or -1: give up.
 */
int64_t pause_after_crash(struct crashes *crashes, int64_t now);

/* Keeps the agent's capabilities permitted but not effective, forbids new privileges, core files and looks into memory.
 *
 * Returns 0, or -1 with errno.
 */
int reduce_rights(void);
