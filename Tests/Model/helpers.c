/* See world.h. */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "explorer.h"
#include "lib/kernel.h"
#include "tcp.h"

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

#define KUBEPODS 10
#define NETNS 7

struct group {
	struct cgroup cgroup;
	struct cgroup *room[4];
};

struct world world;

/* Root, kubepods, and for each pod its cgroup and its container's. */
static struct group groups[2 + 2 * PODS];
static struct kernfs_node nodes[2 + 2 * PODS];
static struct task_struct task = { .tgid = 1 };
static struct nid_settings settings;
static struct nid_listener listener;
static struct nid_pod_connections connections;
static __u64 counter;

extern struct { int any; } nid_settings, nid_listeners, nid_policies, nid_connections, nid_stats, nid_notes, nid_tags, nid_asked;

static struct model_socket *socket_of(void *view)
{
	return (struct model_socket *)view;
}

static struct group *container_of_pod(int pod)
{
	return &groups[3 + 2 * pod];
}

struct cgroup *cgroup_of_pod(int pod)
{
	return &container_of_pod(pod)->cgroup;
}

static struct group *current_group(void)
{
	int pod = current_participant();

	return pod < PODS ? container_of_pod(pod) : &groups[0];
}

static void set_group(int index, int level, __u64 id, int parent)
{
	struct group *group = &groups[index];

	nodes[index].id = id;
	group->cgroup.kn = &nodes[index];
	group->cgroup.level = level;
	for (int i = 0; i < level; i++)
		group->cgroup.ancestors[i] = groups[parent].cgroup.ancestors[i];
	group->cgroup.ancestors[level] = &group->cgroup;
}

void reset_world(void)
{
	memset(&world, 0, sizeof(world));
	world.passed = NONE;
	set_group(0, 0, 1, 0);
	set_group(1, 1, KUBEPODS, 0);
	for (int pod = 0; pod < PODS; pod++) {
		set_group(2 + 2 * pod, 2, POD_CGROUP(pod), 1);
		set_group(3 + 2 * pod, 3, POD_CGROUP(pod) + 1, 2 + 2 * pod);
	}
	settings = (struct nid_settings){ .kubepods_id = KUBEPODS, .kubepods_level = 1, .groups = { 91, 92 } };
	listener = (struct nid_listener){
		.port = FIRST_PORT, .state = NID_LISTENER_OPEN, .families = NID_LISTENER_IPV4 | NID_LISTENER_IPV6
	};
	load_programs();
}

void point_at(const volatile void *place)
{
	const volatile char *first = (const volatile char *)world.sockets, *read = place;

	if (read >= first && read < first + sizeof(world.sockets) &&
	    (size_t)(read - first) % sizeof(struct model_socket) >=
		    offsetof(struct model_socket, tcp) + offsetof(struct tcp_sock, rcv_nxt))
		point();
}

/* Maps. What they only count is no part of the world. */

void *bpf_map_lookup_elem(void *map, const void *key)
{
	if (map == &nid_settings)
		return &settings;
	if (map == &nid_listeners)
		return *(const __u64 *)key == NETNS ? &listener : NULL;
	if (map == &nid_connections)
		return &connections;
	return map == &nid_stats ? &counter : NULL;
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	return 0;
}

void *bpf_sk_storage_get(void *map, void *view, void *value, __u64 flags)
{
	struct model_socket *socket = socket_of(view);

	point();
	if (map == &nid_tags)
		return socket->has_tag ? &socket->tag : NULL;
	if (flags & BPF_SK_STORAGE_GET_F_CREATE)
		socket->has_note = true;
	return socket->has_note ? &socket->note : NULL;
}

long bpf_sk_storage_delete(void *map, void *view)
{
	point();
	socket_of(view)->has_note = false;
	memset(&socket_of(view)->note, 0, sizeof(struct nid_note));
	return 0;
}

/* Other helpers */

struct bpf_sock *bpf_sk_lookup_tcp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns, __u64 flags)
{
	point();
	for (int i = 0; i < SOCKETS_MAX; i++) {
		struct bpf_sock *view = &world.sockets[i].view;

		if (world.sockets[i].is_hashed && view->src_ip4 == tuple->ipv4.daddr &&
		    view->dst_ip4 == tuple->ipv4.saddr && bpf_htons((__u16)view->src_port) == tuple->ipv4.dport &&
		    view->dst_port == tuple->ipv4.sport)
			return view;
	}
	return NULL;
}

long bpf_sk_release(void *socket)
{
	return 0;
}

void *bpf_skc_to_tcp_sock(void *view)
{
	return tcp_of(socket_of(view));
}

__u64 bpf_get_netns_cookie(void *context)
{
	return NETNS;
}

__u64 bpf_get_socket_cookie(void *context)
{
	return (__u64)(socket_of(((struct bpf_sock_addr *)context)->sk) - world.sockets) + 1;
}

__u64 bpf_get_current_cgroup_id(void)
{
	point();
	return current_group()->cgroup.kn->id;
}

__u64 bpf_get_current_ancestor_cgroup_id(int level)
{
	struct cgroup *own = &current_group()->cgroup;

	return level <= own->level ? own->ancestors[level]->kn->id : 0;
}

__u64 bpf_get_current_task(void)
{
	return (__u64)&task;
}

__u64 bpf_ktime_get_ns(void)
{
	return 1;
}

long bpf_setsockopt(void *context, int level, int option, void *value, int size)
{
	return 0;
}

int bpf_set_retval(int value)
{
	return 0;
}

void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags)
{
	return NULL;
}

void bpf_ringbuf_submit(void *data, __u64 flags)
{
}

long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	memcpy(to, from, size);
	return 0;
}
