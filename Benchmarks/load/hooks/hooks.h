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
