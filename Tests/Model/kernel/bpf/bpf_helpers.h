/* The helpers that bpf/redirect.bpf.c calls, as functions of the modelled kernel. Where one looks at what
 * participants change, another participant may go on before.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
/* Programs and maps are ordinary functions and variables. */
#define SEC(name) __attribute__((weak))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value) *name
#define LIBBPF_PIN_BY_NAME 1

void point(void);
/* A point, if participants change what is there. */
void point_at(const volatile void *place);

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
void *bpf_sk_storage_get(void *map, void *socket, void *value, __u64 flags);
long bpf_sk_storage_delete(void *map, void *socket);
struct bpf_sock *bpf_sk_lookup_tcp(void *context, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns, __u64 flags);
long bpf_sk_release(void *socket);
void *bpf_skc_to_tcp_sock(void *socket);
__u64 bpf_get_netns_cookie(void *context);
__u64 bpf_get_socket_cookie(void *context);
__u64 bpf_get_current_cgroup_id(void);
__u64 bpf_get_current_ancestor_cgroup_id(int level);
__u64 bpf_get_current_task(void);
__u64 bpf_ktime_get_ns(void);
long bpf_setsockopt(void *context, int level, int option, void *value, int size);
int bpf_set_retval(int value);
void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *data, __u64 flags);
long bpf_probe_read_kernel(void *to, __u32 size, const void *from);
