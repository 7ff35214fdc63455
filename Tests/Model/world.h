/* The modelled kernel: one network namespace with its TCP sockets, and the maps of the programs. Its steps are those of
 * Linux, in the same order; between two of them another participant may go on.
 *
 * Not modelled: lost packets, TIME_WAIT, IPv6, and segments that a process writes itself.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include "podidentd_abi.h"

#define SOCKETS_MAX 8
#define VICTIM 0
#define HOSTILE 1
#define PODS 2
#define NONE (-1)

/* The pod's cgroup, and one more is its container's. */
#define POD_CGROUP(pod) (20U + 10U * (unsigned int)(pod))
/* Ports, in host order. The kernel gives a socket one of two: the first, or the one after it. */
#define FIRST_PORT 988
#define LAST_PORT 981
#define CLIENT_PORT 40000
#define LOOPBACK4 __builtin_bswap32(0x7f000001)
#define METADATA4 __builtin_bswap32(0xa9fea9fe)
#define HOSTILE_PORT 1234

struct model_socket {
	struct bpf_sock view;
	/* The numbers that programs read are in the kernel's own structure: see tcp.h. */
	__u64 tcp[16];
	struct nid_note note;
	struct nid_tag tag;
	bool has_note, has_tag, is_used;
	/* In the table of connections, where a lookup finds it. */
	bool is_hashed;
	/* The pod whose process made it, and the pod whose process connected it last. */
	int maker, connector;
	/* The true other end, by its index; NONE: there is none, or none any more. */
	int peer;
	__u16 bound;
	/* How many connections it has had. */
	__u32 generation;
};

struct world {
	struct model_socket sockets[SOCKETS_MAX];
	/* Sockets that wait to be accepted, by index. */
	int queue[SOCKETS_MAX];
	int queued;
	/* The hostile's rules for addresses: the victim's connections go to the hostile's server, and its own
	 * come from the victim's port.
	 */
	bool translates;
	/* A socket that the victim has passed on, and that the hostile may use. */
	int passed;
	/* Participants that have ended. */
	int ended;
};

extern struct world world;

/* The participants' calls. */
int open_socket(int pod);
/* Returns false if the connection is refused. */
bool connect_socket(int socket, __u32 address, __u16 port);
void send_on(int socket, __u32 bytes);
/* Ends a connection by a reset; the socket may be connected again. */
void reset(int socket);
/* Ends a connection by a FIN. */
void finish(int socket);
bool is_queue_filled(void);
int accept_socket(void);
const struct nid_tag *tag_of(int socket);

void reset_world(void);
/* The programs' entries. */
void load_programs(void);
int nid_connect4(struct bpf_sock_addr *context);
int nid_getpeername4(struct bpf_sock_addr *context);
