#include "attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A SYN with its IPv4 header. */
struct syn4 {
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static uint32_t add(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? byte[i] : (uint32_t)byte[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static struct syn4 make_syn(struct target source, struct target target)
{
	struct syn4 packet = {
		.ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
			.tot_len = htons(sizeof(packet)), .id = htons(7),
			.saddr = source.v4.sin_addr.s_addr, .daddr = target.v4.sin_addr.s_addr },
		.tcp = { .source = source.v4.sin_port, .dest = target.v4.sin_port,
			 .seq = htonl(12345), .doff = 5, .syn = 1, .window = htons(1024) },
	};
	uint32_t sum = IPPROTO_TCP + sizeof(packet.tcp);

	sum = add(sum, &packet.ip.saddr, 8);
	packet.tcp.check = fold(add(sum, &packet.tcp, sizeof(packet.tcp)));
	packet.ip.check = fold(add(0, &packet.ip, sizeof(packet.ip)));
	return packet;
}

static int is_answer(const struct syn4 *packet, ssize_t length, struct target source,
		     struct target target)
{
	return length >= (ssize_t)sizeof(*packet) && packet->ip.version == 4 &&
	       packet->ip.protocol == IPPROTO_TCP &&
	       packet->ip.saddr == target.v4.sin_addr.s_addr &&
	       packet->tcp.source == target.v4.sin_port && packet->tcp.dest == source.v4.sin_port &&
	       packet->tcp.syn && packet->tcp.ack;
}

/* Waits for the SYN-ACK that says that somebody listens. */
static void await_answer(int fd, struct target source, struct target target)
{
	struct timespec start, now;
	struct syn4 packet;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (wait_readable(fd, 50) &&
		    is_answer(&packet, recv(fd, &packet, sizeof(packet), MSG_TRUNC), source,
			      target)) {
			printf("answered: SYN-ACK\n");
			return;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
		 PATIENCE_MS);
	printf("sent, no answer\n");
}

static void raw6(struct target target)
{
	int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_TCP);
	struct tcphdr tcp = { .source = htons(40001), .dest = target.v6.sin6_port, .doff = 5, .syn = 1 };

	if (fd < 0)
		fail("no raw socket", errno);
	target.v6.sin6_port = 0;
	if (sendto(fd, &tcp, sizeof(tcp), 0, &target.any, target.length) < 0)
		fail("send", errno);
	printf("sent\n");
}

/* A SYN through a raw IP socket: whole, or in fragments of which the first is
 * addressed to an open port.
 */
void attack_raw(const char *how, struct target source, struct target target)
{
	struct syn4 packet;
	int on = 1;
	int fd, listener;

	if (target.any.sa_family == AF_INET6)
		return raw6(target);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	listener = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	if (fd < 0 || listener < 0)
		fail("no raw socket", errno);
	setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &on, sizeof(on));
	packet = make_syn(source, target);
	if (!strcmp(how, "fragments")) {
		packet.ip.frag_off = htons(IP_MF);
		packet.ip.tot_len = htons(sizeof(packet.ip) + 16);
		packet.tcp.dest = htons(53);
		if (sendto(fd, &packet, sizeof(packet.ip) + 16, 0, &target.any, target.length) < 0)
			fail("send", errno);
		printf("sent\n");
		return;
	}
	if (sendto(fd, &packet, sizeof(packet), 0, &target.any, target.length) < 0)
		fail("send", errno);
	await_answer(listener, source, target);
}

/* A SYN in a frame of our own, to the router's hardware address. */
void attack_frame(const char *interface, const char *router, struct target source,
		  struct target target)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE_IP), .sll_halen = 6,
		.sll_ifindex = (int)if_nametoindex(interface),
	};
	int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETHERTYPE_IP));
	struct syn4 packet = make_syn(source, target);
	unsigned byte[6];

	if (fd < 0)
		fail("no packet socket", errno);
	if (sscanf(router, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
		   &byte[5]) != 6)
		fail("router's address", EINVAL);
	for (int i = 0; i < 6; i++)
		address.sll_addr[i] = (uint8_t)byte[i];
	if (sendto(fd, &packet, sizeof(packet), 0, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("send", errno);
	await_answer(fd, source, target);
}
