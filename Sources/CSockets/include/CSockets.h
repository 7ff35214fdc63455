/* Calls on sockets that the C library hides from Swift. */
#pragma once

#include <sys/socket.h>

/* Accepts a connection as a socket that does not block and that no program inherits (accept4(2)). */
int nid_accept(int listener);

/* Something to wake a poll(2) with (eventfd(2)); it does not block. */
int nid_make_wake_up(void);

/* The name of the calling thread, as ps and top show it: at most 15 bytes. */
void nid_name_this_thread(const char *name);
