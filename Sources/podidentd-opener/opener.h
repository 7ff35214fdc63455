/* Declarations that the opener's parts share, and the messages between it and the agent (Sources/Enforcement/Namespaces/OpenerMessage.swift):
 * host byte order, one message a packet. Both programs are of one image.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define OPENER_VERSION 1

enum family {
	/* 127.0.0.1 */
	FAMILY_IP4 = 1,
	/* ::1 */
	FAMILY_IP6 = 2,
};

/* How far an opening came. */
enum step {
	STEP_DONE = 0,
	/* Opening the namespace: it has gone, or the rights are missing. */
	STEP_FIND = 1,
	/* Comparing it with the request: the process was another by then. */
	STEP_COMPARE = 2,
	STEP_ENTER = 3,
	/* Binding and listening: EADDRINUSE where every port is taken. */
	STEP_LISTEN = 4,
};

/* Asks for listening sockets in one network namespace. */
struct request {
	/* SO_NETNS_COOKIE of the sockets in the namespace. */
	uint64_t cookie;
	/* The namespace's inode number. */
	uint32_t inode;
	/* A process that was in it, by its ID in this PID namespace. Looked at only where the kernel has no nsfs handles. */
	uint32_t process;
	/* The first port to try, then those below it: so many in all. */
	uint16_t port;
	uint8_t ports;
	/* enum family, at least one */
	uint8_t families;
	uint32_t reserved;
};

/* Answers a request, with one descriptor for each family as SCM_RIGHTS, IPv4 first. */
struct answer {
	/* 0, or an errno. */
	int32_t error;
	uint16_t port;
	/* The families that listen. One that the namespace does not have is left out. */
	uint8_t families;
	/* enum step */
	uint8_t step;
	/* The request's. */
	uint64_t cookie;
};

/* The opener's first message: it has given up its rights and waits for requests. */
struct greeting {
	uint32_t version;
	/* enum way */
	uint32_t way;
};

/* How a namespace is found. */
enum way {
	/* nsfs handles (Linux 6.18): by cookie and inode number, with or without processes in it. */
	WAY_HANDLE = 1,
	/* /proc/PID/ns/net, with CAP_SYS_PTRACE and the node's PID namespace. */
	WAY_PROCESS = 2,
};

struct home {
	/* The network namespace in which the opener was started. It leaves every other one at once, because a process in a
	 * namespace keeps it alive.
	 */
	int descriptor;
	enum way way;
};

/* Opens the home namespace, and finds out how others can be found. Returns 0, or -1 with errno. */
int find_home(struct home *home);
/* Carries a valid request out. The descriptors, as many as families, are the caller's. Returns false if the opener could
 * not return to its home: it must end.
 */
bool open_listeners(const struct home *home, const struct request *request, struct answer *answer, int descriptors[2]);

/* Keeps the capabilities that the way needs, and no other right. Returns 0, or -1 with errno. */
int reduce_rights(enum way way);
/* Kills the process at any system call but those of its loop. Returns 0, or -1 with errno. */
int filter_system_calls(enum way way);
