/* Calls on sockets that the C library hides from Swift. */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

#include "PeerCgroup.h"

/* Accepts a connection as a socket that does not block and that no program inherits (accept4(2)). */
int nid_accept(int listener);

/* Something to wake a poll(2) with (eventfd(2)); it does not block. */
int nid_make_wake_up(void);

/* What nid_wait_idle() has found, in any combination. */
#define NID_READY_COMMANDS 1u
#define NID_READY_CONNECTIONS 2u
/* The reason is in errno. */
#define NID_READY_FAILED 4u

/* An epoll(7) of a listening socket and a wake-up. Of the threads that wait for the socket so, each with a set of its own, a
 * connection wakes one (EPOLLEXCLUSIVE, kernel 4.5).
 */
int nid_make_idle_wait(int listener, int wake_up);

/* Waits for as many milliseconds; for ever, if that is negative. */
uint32_t nid_wait_idle(int set, int timeout);

/* The name of the calling thread, as ps and top show it: at most 15 bytes. */
void nid_name_this_thread(const char *name);

/* Makes a network device that is up and has no address, in this process's network namespace. What is written to the
 * descriptor is a packet that the kernel receives on it. Closing the descriptor removes the device.
 */
int nid_make_device(const char *name);
