// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A stranger's program at a hook that is ours, too: redirects one address elsewhere, as
 * socket load balancers do with Services.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* All in network order. Constant from load to unload. */
const volatile __u32 foreign_from_ip4 = 0;
const volatile __u32 foreign_to_ip4 = 0;
const volatile __u16 foreign_to_port = 0;

SEC("cgroup/connect4")
int foreign_connect4(struct bpf_sock_addr *ctx)
{
	if (ctx->user_ip4 == foreign_from_ip4) {
		ctx->user_ip4 = foreign_to_ip4;
		ctx->user_port = foreign_to_port;
	}
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
