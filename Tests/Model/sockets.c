/* See world.h. */
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "explorer.h"
#include "lib/kernel.h"
#include "tcp.h"

#define TCP 6
#define STREAM 1

void *memset(void *to, int value, size_t size);

static int new_socket(void)
{
	for (int i = 0; i < SOCKETS_MAX; i++) {
		struct model_socket *socket = &world.sockets[i];
		__u32 generation;

		if (socket->is_used)
			continue;
		generation = socket->generation;
		memset(socket, 0, sizeof(*socket));
		socket->generation = generation;
		socket->is_used = true;
		socket->view.family = 2;
		socket->view.type = STREAM;
		socket->view.protocol = TCP;
		socket->view.state = BPF_TCP_CLOSE;
		socket->peer = socket->maker = socket->connector = NONE;
		return i;
	}
	return NONE;
}

int open_socket(int pod)
{
	int made = new_socket();

	if (made == NONE)
		return NONE;
	world.sockets[made].maker = pod;
	tcp_of(&world.sockets[made])->inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup = cgroup_of_pod(pod);
	return made;
}

static bool is_taken(__u32 address, __u16 local, __u16 remote)
{
	for (int i = 0; i < SOCKETS_MAX; i++) {
		struct bpf_sock *view = &world.sockets[i].view;

		if (world.sockets[i].is_hashed && view->src_port == local && view->dst_ip4 == address &&
		    view->dst_port == bpf_htons(remote))
			return true;
	}
	return false;
}

/* The numbers of two connections have nothing in common, as the kernel's secret makes them. */
static __u32 new_number(int index)
{
	return (__u32)(index + 1) * 100000000 + ++world.sockets[index].generation * 1000000;
}

/* The SYN has arrived. Returns the socket at the other end, whose SYN has arrived as well; NONE: refused. */
static int handshake(struct model_socket *client)
{
	__u16 local = client->view.src_port, remote = bpf_ntohs(client->view.dst_port);
	int made;

	if (world.translates && remote == FIRST_PORT) {
		/* Whatever comes from the first port goes to the hostile's server; what comes from the second seems to
		 * come from the first.
		 */
		if (local == CLIENT_PORT)
			remote = HOSTILE_PORT;
		local = CLIENT_PORT;
	}
	if ((remote != FIRST_PORT && remote != HOSTILE_PORT) || is_taken(LOOPBACK4, remote, local))
		return NONE;
	made = new_socket();
	if (made == NONE)
		return NONE;
	world.sockets[made].view.src_ip4 = LOOPBACK4;
	world.sockets[made].view.src_port = remote;
	world.sockets[made].view.dst_ip4 = LOOPBACK4;
	world.sockets[made].view.dst_port = bpf_htons(local);
	tcp_of(&world.sockets[made])->snd_nxt = new_number(made);
	tcp_of(&world.sockets[made])->rcv_nxt = tcp_of(client)->write_seq;
	return made;
}

static void establish(int client, int server)
{
	struct model_socket *accepted = &world.sockets[server];

	accepted->view.state = BPF_TCP_ESTABLISHED;
	accepted->is_hashed = true;
	accepted->peer = client;
	world.sockets[client].peer = server;
	if (accepted->view.src_port != FIRST_PORT)
		return;
	/* The kernel clones the listener's storage. */
	accepted->has_tag = true;
	accepted->tag.state = NID_TAG_UNCLAIMED;
	world.queue[world.queued++] = server;
}

static bool send_syn(int index)
{
	struct model_socket *socket = &world.sockets[index];
	struct tcp_sock *tcp = tcp_of(socket);
	int server;

	socket->view.state = BPF_TCP_SYN_SENT;
	socket->is_hashed = true;
	tcp->snd_una = new_number(index);
	tcp->write_seq = tcp->snd_nxt = tcp->snd_una + 1;
	tcp->rcv_nxt = 0;
	point();
	/* Reset meanwhile, by another process that has the socket. */
	if (socket->view.state != BPF_TCP_SYN_SENT)
		return false;
	server = handshake(socket);
	if (server == NONE) {
		reset(index);
		return false;
	}
	/* The answer has arrived. */
	tcp->rcv_nxt = tcp_of(&world.sockets[server])->snd_nxt;
	tcp->snd_una = tcp->write_seq;
	socket->view.state = BPF_TCP_ESTABLISHED;
	point();
	if (socket->view.state != BPF_TCP_ESTABLISHED) {
		world.sockets[server].is_used = false;
		return false;
	}
	establish(index, server);
	return true;
}

bool connect_socket(int index, __u32 address, __u16 port)
{
	struct model_socket *socket = &world.sockets[index];
	struct bpf_sock_addr context = {
		.user_family = 2, .user_ip4 = address, .user_port = bpf_htons(port), .family = 2, .type = STREAM,
		.protocol = TCP,
	};
	__u16 local = socket->bound;

	context.sk = &socket->view;
	if (socket->view.state != BPF_TCP_CLOSE || !nid_connect4(&context))
		return false;
	point();
	if (socket->view.state != BPF_TCP_CLOSE)
		return false;
	if (!local)
		local = (__u16)(CLIENT_PORT + choose(2));
	if (socket->view.state != BPF_TCP_CLOSE ||
	    is_taken(context.user_ip4, local, bpf_ntohs((__u16)context.user_port)))
		return false;
	socket->view.src_ip4 = LOOPBACK4;
	socket->view.src_port = local;
	socket->view.dst_ip4 = context.user_ip4;
	socket->view.dst_port = (__be16)context.user_port;
	socket->connector = current_participant();
	return send_syn(index);
}

void send_on(int index, __u32 bytes)
{
	struct tcp_sock *tcp = tcp_of(&world.sockets[index]);
	int peer = world.sockets[index].peer;

	if (peer == NONE || world.sockets[index].view.state != BPF_TCP_ESTABLISHED)
		return;
	tcp->write_seq += bytes;
	point();
	/* A packet has left, and has arrived, before the sender counts it. */
	if (world.sockets[index].peer != peer)
		return;
	tcp_of(&world.sockets[peer])->rcv_nxt += bytes;
	point();
	tcp->snd_nxt += bytes;
	tcp->snd_una += bytes;
}

void reset(int index)
{
	struct model_socket *socket = &world.sockets[index];

	if (socket->peer != NONE) {
		struct model_socket *peer = &world.sockets[socket->peer];

		peer->view.state = BPF_TCP_CLOSE;
		peer->is_hashed = false;
		peer->peer = NONE;
	}
	socket->view.state = BPF_TCP_CLOSE;
	socket->is_hashed = false;
	socket->peer = NONE;
	socket->view.src_port = 0;
}

void finish(int index)
{
	struct model_socket *socket = &world.sockets[index];

	if (socket->view.state != BPF_TCP_ESTABLISHED || socket->peer == NONE)
		return;
	socket->view.state = BPF_TCP_FIN_WAIT2;
	world.sockets[socket->peer].view.state = BPF_TCP_CLOSE_WAIT;
	tcp_of(socket)->write_seq++;
	tcp_of(socket)->snd_nxt++;
	tcp_of(&world.sockets[socket->peer])->rcv_nxt++;
	tcp_of(socket)->snd_una++;
}

bool is_queue_filled(void)
{
	return world.queued > 0;
}

int accept_socket(void)
{
	struct bpf_sock_addr context = { .user_family = 2, .family = 2, .type = STREAM, .protocol = TCP };
	int accepted = world.queue[0];

	for (int i = 1; i < world.queued; i++)
		world.queue[i - 1] = world.queue[i];
	world.queue[--world.queued] = 0;
	context.sk = &world.sockets[accepted].view;
	context.user_ip4 = context.sk->dst_ip4;
	context.user_port = context.sk->dst_port;
	nid_getpeername4(&context);
	return accepted;
}

const struct nid_tag *tag_of(int index)
{
	return &world.sockets[index].tag;
}
