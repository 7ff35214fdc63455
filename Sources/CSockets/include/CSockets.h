/* Calls on sockets that the C library hides from Swift. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

/* Accepts a connection as a socket that does not block and that no program inherits (accept4(2)). Asks for the peer's
 * address: that has the kernel run the program that tags the socket (cgroup/getpeername4 and 6).
 */
int nid_accept(int listener);

/* Something to wake a poll(2) with (eventfd(2)); it does not block. */
int nid_make_wake_up(void);

/* Events that nid_wait() tells at once. */
#define NID_WAIT_MAX 16
/* Stands for the wake-up in what nid_wait() tells. */
#define NID_WAIT_COMMANDS 0

/* An epoll(7) of a wake-up, to which listening sockets are added. */
int nid_make_wait(int wake_up);

/* Adds a listening socket under a number, which is not NID_WAIT_COMMANDS. Of the threads that wait for it, each with a set of
 * its own, a connection wakes one (EPOLLEXCLUSIVE, kernel 4.5).
 */
int nid_wait_add(int set, int listener, uint64_t number);
void nid_wait_remove(int set, int listener);

/* Waits for as many milliseconds; without end, if that is negative. Returns how many numbers are ready, or -1 with errno. */
int nid_wait(int set, uint64_t numbers[NID_WAIT_MAX], int timeout);

/* The name of the calling thread, as ps and top show it: at most 15 bytes. */
void nid_name_this_thread(const char *name);

/* Makes a network device that is up and has no address, in this process's network namespace. What is written to the
 * descriptor is a packet that the kernel receives on it. Closing the descriptor removes the device.
 */
int nid_make_device(const char *name);
