/* libbpf, and the few system calls that Swift cannot make by itself. */
#pragma once

#include <bpf/bpf.h>
#include <bpf/btf.h>
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
#define NID_FILEID_NSFS 0xf1
#define NID_FD_NSFS_ROOT -10003
#define NID_CLONE_NEWNET 0x40000000

/* O_PATH, which the C library hides from Swift. */
#define NID_O_PATH 010000000

/* Opens a network namespace by its cookie and inode number (Linux 6.18:
 * include/uapi/linux/fcntl.h and nsfs.h).
 */
static inline int nid_open_namespace(uint64_t cookie, uint32_t inode)
{
	struct {
		unsigned int handle_bytes;
		int handle_type;
		uint64_t cookie;
		uint32_t type;
		uint32_t inode;
	} __attribute__((packed)) handle = { 16, NID_FILEID_NSFS, cookie, NID_CLONE_NEWNET, inode };

	return (int)syscall(SYS_open_by_handle_at, NID_FD_NSFS_ROOT, &handle, O_RDONLY | O_CLOEXEC);
}

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

/* Names the calling thread, for ps and for readers of a profile. */
static inline void nid_name_thread(const char *name)
{
	prctl(PR_SET_NAME, name);
}

/* Whether the running kernel's structure of this name has a member of that name: 1, 0, or -1
 * where the kernel tells no types.
 */
static inline int nid_kernel_has_member(const char *structure, const char *member)
{
	struct btf *types = btf__load_vmlinux_btf();
	const struct btf_type *type = NULL;
	int id, has_member = 0;

	if (!types)
		return -1;
	id = btf__find_by_name_kind(types, structure, BTF_KIND_STRUCT);
	if (id > 0)
		type = btf__type_by_id(types, (__u32)id);
	for (int i = 0; type && i < btf_vlen(type); i++) {
		const char *name = btf__name_by_offset(types, btf_members(type)[i].name_off);

		if (name && strcmp(name, member) == 0)
			has_member = 1;
	}
	btf__free(types);
	return has_member;
}

/* Attaches a program to one of netfilter's hooks in the calling thread's network
 * namespace. The layout is that of union bpf_attr's link_create since Linux 6.4,
 * which the headers that we build with may not know.
 */
static inline int nid_link_netfilter(int program, uint32_t family, uint32_t hook, int32_t priority)
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
		.hook = hook,
		.priority = priority,
	};

	return (int)syscall(SYS_bpf, 28 /* BPF_LINK_CREATE */, &attributes, sizeof(attributes));
}

/* Attaches a program behind all others to what an interface of the calling thread's
 * network namespace sends (Linux 6.6).
 */
static inline int nid_link_tcx_egress(int program, uint32_t interface)
{
	struct {
		uint32_t program;
		uint32_t interface;
		uint32_t attach_type;
		uint32_t flags;
		uint32_t relative;
		uint32_t reserved;
		uint64_t revision;
	} attributes = {
		.program = (uint32_t)program,
		.interface = interface,
		.attach_type = 47 /* BPF_TCX_EGRESS */,
	};

	return (int)syscall(SYS_bpf, 28 /* BPF_LINK_CREATE */, &attributes, sizeof(attributes));
}

/* The index of the interface that a tcx link is attached to: 0 if that is gone, -1 if
 * the link is of another kind.
 */
static inline int64_t nid_tcx_interface(int link)
{
	struct {
		uint32_t type;
		uint32_t id;
		uint32_t program_id;
		uint32_t reserved;
		uint32_t interface;
		uint32_t attach_type;
		uint64_t rest[8];
	} info = { .type = 0 };
	uint32_t length = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &length) != 0)
		return -1;
	return info.type == 11 /* BPF_LINK_TYPE_TCX */ ? (int64_t)info.interface : -1;
}
