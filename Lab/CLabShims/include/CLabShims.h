/* System calls that the lab makes and Swift cannot. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LAB_CLONE_NEWNET 0x40000000

/* Moves the calling thread into the network namespace behind `fd` (setns(2)). */
static inline int lab_enter_network_namespace(int fd)
{
	return (int)syscall(SYS_setns, fd, LAB_CLONE_NEWNET);
}

/* A descriptor of the process that is readable once it has ended (pidfd_open(2)). */
static inline int lab_open_process(int process)
{
	return (int)syscall(SYS_pidfd_open, process, 0);
}

/* Writes each line of standard output at once, also to a file or a pipe. */
static inline void lab_write_lines_at_once(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* A pipe whose ends no program inherits (pipe2(2)). */
static inline int lab_pipe(int ends[2])
{
	return (int)syscall(SYS_pipe2, ends, O_CLOEXEC);
}

/* Closes at exec whatever is open, but for the standard three, by whichever library (close_range(2)). */
static inline void lab_keep_descriptors_from_children(void)
{
	syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* Severs the BPF link that is pinned at `path`, whichever process holds it. */
static inline int lab_detach_link(const char *path)
{
	union bpf_attr attributes = { .pathname = (uint64_t)(uintptr_t)path };
	int link = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attributes, sizeof(attributes));
	int result, error;

	if (link < 0)
		return -1;
	attributes = (union bpf_attr){ .link_detach.link_fd = (uint32_t)link };
	result = (int)syscall(SYS_bpf, BPF_LINK_DETACH, &attributes, sizeof(attributes));
	error = errno;
	close(link);
	errno = error;
	return result;
}
