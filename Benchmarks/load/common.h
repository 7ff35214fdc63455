// SPDX-License-Identifier: Apache-2.0
/* What the programs of this folder share: where to run, what time it is, how to give up. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (errno)
		fprintf(stderr, ": %s", strerror(errno));
	fputc('\n', stderr);
	exit(1);
}

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static inline uint64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Moves this process into the cgroup whose cgroup.procs file this is. NULL or "-": stays. */
static inline void enter_cgroup(const char *procs)
{
	int file;

	if (!procs || !strcmp(procs, "-"))
		return;
	file = open(procs, O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, "0", 1) != 1)
		die("cannot enter the cgroup of %s", procs);
	close(file);
}

/* Moves this thread into a network namespace given by its file. NULL or "-": stays. */
static inline void enter_network(const char *path)
{
	int file;

	if (!path || !strcmp(path, "-"))
		return;
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0 || setns(file, CLONE_NEWNET))
		die("cannot enter the network namespace %s", path);
	close(file);
}

/* Reads "1.2.3.4:80". */
static inline struct sockaddr_in parse_address(const char *text)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	char host[64];
	const char *colon = strrchr(text, ':');

	errno = 0;
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		die("'%s' is not ADDRESS:PORT", text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	address.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		die("'%s' is not an IPv4 address", host);
	return address;
}

#endif
