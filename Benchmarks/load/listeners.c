// SPDX-License-Identifier: Apache-2.0
/*
 * What listening in many network namespaces takes: makes so many, with their loopback interface up, and then opens in
 * each the two sockets that the agent has there. Prints the kernel's memory for them, and the time.
 *
 *   listeners [--count 250] [--port 988]
 */
#include "common.h"

#include <getopt.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

/* KiB of what the kernel allocates for itself. Slabs that are full of nothing are counted too: the difference of many
 * sockets is theirs.
 */
static long kernel_kib(void)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char name[64];
	long value, sum = 0;

	if (!file)
		die("read /proc/meminfo");
	while (fscanf(file, "%63s %ld kB\n", name, &value) == 2)
		if (!strcmp(name, "Slab:") || !strcmp(name, "Percpu:"))
			sum += value;
	fclose(file);
	return sum;
}

static int make_namespace(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int namespace, control;

	if (unshare(CLONE_NEWNET))
		die("make a network namespace");
	namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (namespace < 0 || control < 0 || ioctl(control, SIOCSIFFLAGS, &request))
		die("bring up a loopback interface");
	close(control);
	return namespace;
}

static void listen_at(int family, const struct sockaddr *address, socklen_t size)
{
	int one = 1, listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo")) ||
	    (family == AF_INET6 && setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    bind(listener, address, size) || listen(listener, 4096))
		die("listen");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"count", 1, 0, 'c'}, {"port", 1, 0, 'p'}, {0, 0, 0, 0}};
	struct sockaddr_in ip4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 ip6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct rlimit files;
	int count = 250, port = 988, option, *namespaces;
	uint64_t begin, spent;
	long before;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c': count = atoi(optarg); break;
		case 'p': port = atoi(optarg); break;
		default: return 2;
		}
	}
	errno = 0;
	files.rlim_cur = files.rlim_max = (rlim_t)count * 3 + 64;
	namespaces = count > 0 ? calloc((size_t)count, sizeof(*namespaces)) : NULL;
	if (!namespaces || setrlimit(RLIMIT_NOFILE, &files))
		die("room for %d namespaces", count);
	ip4.sin_port = ip6.sin6_port = htons((uint16_t)port);
	for (int i = 0; i < count; i++)
		namespaces[i] = make_namespace();
	before = kernel_kib();
	begin = monotonic_ns();
	for (int i = 0; i < count; i++) {
		if (setns(namespaces[i], CLONE_NEWNET))
			die("enter a namespace");
		listen_at(AF_INET, (struct sockaddr *)&ip4, sizeof(ip4));
		listen_at(AF_INET6, (struct sockaddr *)&ip6, sizeof(ip6));
	}
	spent = monotonic_ns() - begin;
	printf("{\"count\": %d, \"kernel_kib\": %ld, \"open_us\": %.1f}\n", count, kernel_kib() - before,
	       (double)spent / 1000 / count);
	return 0;
}
