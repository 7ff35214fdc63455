/* The parts that the loop in main.c stands on. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Descriptors of one group: 127.0.0.1 and ::1 of one network namespace, or the agent's other listening sockets. */
#define GROUP_MAX 4
/* Groups that are kept: as many namespaces as the kernel programs know. */
#define GROUPS_MAX 8192

/* Copies of listening sockets that the agent has under one key: a network namespace's cookie, or 0. */
struct group {
	uint64_t key;
	int descriptors[GROUP_MAX];
	unsigned int count;
};

/* Copies of the agent's listening sockets. */
struct kept {
	struct group *groups;
	unsigned int count;
	unsigned int capacity;
	/* The sockets are another agent's by now. */
	bool replaced;
};

enum message {
	/* The agent serves. */
	MESSAGE_SERVING,
	/* Sockets of one group are kept, or closed. */
	MESSAGE_GROUP,
	/* A successor has them. */
	MESSAGE_FORGET,
	/* The agent has closed its end. */
	MESSAGE_END,
	MESSAGE_INVALID,
};

/* A socket for messages, whose first end no program inherits. */
int make_pair(int ends[2]);
/* The first messages of the socket: what became of the agent before, then each group, then that this is all. Waits some
 * seconds at most for an agent that does not read them. Returns whether it has taken all.
 */
bool send_start(int socket, unsigned int restarts, int last_status, const struct kept *kept);
/* Takes one message, and does to `kept` what it says. */
enum message receive_message(int socket, struct kept *kept);
/* Closes the copies. */
void forget(struct kept *kept);
/* As many open files as the hard limit allows: two for each network namespace. */
void raise_descriptor_limit(void);

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
