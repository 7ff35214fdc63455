/* System calls that the lab makes and Swift cannot. */
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#define LAB_CLONE_NEWNET 0x40000000

/* Moves the calling thread into the network namespace behind `fd` (setns(2)). */
static inline int lab_enter_network_namespace(int fd)
{
	return (int)syscall(SYS_setns, fd, LAB_CLONE_NEWNET);
}
