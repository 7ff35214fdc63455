// SPDX-License-Identifier: Apache-2.0
/* What the two halves of `hooks` share: sets of kernel programs, and work whose price they change. */
#pragma once

#include "../common.h"

#include <bpf/libbpf.h>

#define SETS_MAX 8
#define OBJECTS_MAX 8
#define LINKS_MAX 32

/* The kernel programs of one build, loaded, and where that build's agent attaches them. */
struct set {
	const char *name;
	struct bpf_object *objects[OBJECTS_MAX];
	int object_count;
	/* The guard of pods' packets is attached to the root of the hierarchy, and not to kubepods. */
	bool guards_everybody;
	/* Places of netfilter (enum nf_inet_hooks), as digits; "-" none. */
	const char *netfilter;
	int links[LINKS_MAX];
	int link_count;
};

/* Where the programs are attached, and what they take for pods. */
struct ground {
	int root;
	int kubepods;
	uint64_t kubepods_id;
	uint32_t kubepods_level;
	const char *node_network;
};

/* Loads every object of `directory` that has to do with packets and connections. */
void load_set(struct set *set, const char *directory, const struct ground *ground);
void attach_set(struct set *set, const struct ground *ground);
void detach_set(struct set *set);

enum kind { DATAGRAM, CONNECTED_DATAGRAM, PING_PONG, BULK, CONNECT, CYCLE, GETPEERNAME };

struct work {
	const char *name;
	enum kind kind;
	/* In one chunk, whose mean is one sample. */
	int operations;
};

struct place {
	char *name, *cgroup, *network, *peer_network, *address;
};

/* The sockets of one work at one place. */
struct run {
	int near, far, listener;
	struct sockaddr_in to;
};

extern const struct work works[];
extern const int work_count;

void open_run(const struct work *work, const struct place *place, struct run *run);
void close_run(struct run *run);
/* The median nanoseconds of one operation in so many milliseconds. */
double do_batch(const struct work *work, const struct run *run, int ms);
