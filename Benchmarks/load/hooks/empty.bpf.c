// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Programs that only let pass: what the places themselves cost, whatever is attached there. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/connect4") int empty_connect4(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/connect6") int empty_connect6(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/getpeername4") int empty_peer4(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/getpeername6") int empty_peer6(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/bind4") int empty_bind4(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup/bind6") int empty_bind6(struct bpf_sock_addr *ctx) { return 1; }
SEC("cgroup_skb/egress") int empty_egress(struct __sk_buff *skb) { return 1; }
SEC("netfilter") int empty_forward(void *ctx) { return 1; }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
