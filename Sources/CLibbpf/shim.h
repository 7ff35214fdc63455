/* libbpf, and the few system calls that Swift cannot make by itself. */
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define NID_FILEID_KERNFS 0xfe

/* O_PATH, which the C library hides from Swift. */
#define NID_O_PATH 010000000

/* Opens the cgroup with this ID on the cgroup2 mount that `mount_fd` lies on
 * (open_by_handle_at(2); kernfs handles are the ID alone since Linux 5.5).
 * ESTALE: there is no such cgroup any more.
 */
static inline int nid_open_cgroup_by_id(int mount_fd, uint64_t id)
{
	struct {
		unsigned int handle_bytes;
		int handle_type;
		uint64_t id;
	} __attribute__((packed)) handle = { sizeof(id), NID_FILEID_KERNFS, id };

	return (int)syscall(SYS_open_by_handle_at, mount_fd, &handle,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Names the calling thread, for ps and for whoever reads a profile. */
static inline void nid_name_thread(const char *name)
{
	prctl(PR_SET_NAME, name);
}

/* Attaches a program to netfilter's PRE_ROUTING in the calling thread's network
 * namespace. The layout is that of union bpf_attr's link_create since Linux 6.4,
 * which the headers that we build with may not know.
 */
static inline int nid_link_netfilter(int program, uint32_t family, int32_t priority)
{
	struct {
		uint32_t program;
		uint32_t target;
		uint32_t attach_type;
		uint32_t flags;
		uint32_t family;
		uint32_t hook;
		int32_t priority;
		uint32_t netfilter_flags;
	} attributes = {
		.program = (uint32_t)program,
		.attach_type = 45 /* BPF_NETFILTER */,
		.family = family,
		.hook = 0 /* NF_INET_PRE_ROUTING */,
		.priority = priority,
	};

	return (int)syscall(SYS_bpf, 28 /* BPF_LINK_CREATE */, &attributes, sizeof(attributes));
}
