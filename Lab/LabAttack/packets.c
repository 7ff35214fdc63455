#include "segment.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <string.h>

#define SOURCE_PORT "40001"
#define SEQUENCE 12345

/* Waits for the SYN-ACK that says that a server listens. */
static void await_answer(int fd, struct target source, struct target target)
{
	long end = now_ms() + PATIENCE_MS;
	uint8_t bytes[2048];
	struct segment segment;

	do {
		if (wait_readable(fd, 50) &&
		    read_segment(bytes, recv(fd, bytes, sizeof(bytes), 0), source, target, &segment) &&
		    segment.tcp.syn && segment.tcp.ack) {
			printf("answered: SYN-ACK\n");
			return;
		}
	} while (now_ms() < end);
	printf("sent, no answer\n");
}

/* IPv6's raw sockets make the IP header themselves, and keep it on receipt. */
static void raw6(struct target source, struct target target)
{
	struct packet packet = make_segment(source, target, TH_SYN, SEQUENCE, 0, "");
	int fd = socket(AF_INET6, SOCK_RAW, IPPROTO_TCP);
	long end = now_ms() + PATIENCE_MS;
	struct tcphdr tcp;
	uint16_t port = target.v6.sin6_port;

	if (fd < 0)
		broken("raw socket", errno);
	target.v6.sin6_port = 0;
	if (sendto(fd, packet.bytes + 40, packet.length - 40, 0, &target.any, target.length) < 0)
		fail("send", errno);
	do {
		if (wait_readable(fd, 50) && recv(fd, &tcp, sizeof(tcp), 0) == sizeof(tcp) &&
		    tcp.source == port && tcp.dest == source.v6.sin6_port && tcp.syn && tcp.ack) {
			printf("answered: SYN-ACK\n");
			return;
		}
	} while (now_ms() < end);
	printf("sent, no answer\n");
}

/* Puts a loose source route before the TCP header: the packet goes to `hop`, which
 * sends it on to the address that it was made for.
 */
static void route_over(struct packet *packet, struct target hop)
{
	struct iphdr *ip = (struct iphdr *)packet->bytes;
	/* The option's length, and where the next address is; the last byte ends the options. */
	uint8_t option[8] = { 131, 7, 4 };

	memcpy(option + 3, &ip->daddr, 4);
	memmove(packet->bytes + 28, packet->bytes + 20, packet->length - 20);
	memcpy(packet->bytes + 20, option, sizeof(option));
	packet->length += sizeof(option);
	ip->ihl = 7;
	ip->daddr = hop.v4.sin_addr.s_addr;
	/* The kernel fills in the length and the sum. */
}

/* SOURCE HOP ADDRESS PORT: a SYN with a loose source route over HOP. */
void attack_route(char **argument)
{
	struct target source = parse_target(argument[0], SOURCE_PORT);
	struct target hop = parse_target(argument[1], argument[3]);
	struct target target = parse_target(argument[2], argument[3]);
	struct packet packet = make_segment(source, target, TH_SYN, SEQUENCE, 0, "");
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	int listener = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);

	if (fd < 0 || listener < 0)
		broken("raw socket", errno);
	route_over(&packet, hop);
	if (sendto(fd, packet.bytes, packet.length, 0, &hop.any, hop.length) < 0)
		fail("send", errno);
	await_answer(listener, source, target);
}

/* HOW SOURCE ADDRESS PORT: a SYN through a raw IP socket, whole, or in fragments of
 * which the first is addressed to an open port.
 */
void attack_raw(char **argument)
{
	struct target source = parse_target(argument[1], SOURCE_PORT);
	struct target target = parse_target(argument[2], argument[3]);
	struct packet packet;
	int fd, listener;

	if (target.any.sa_family == AF_INET6) {
		raw6(source, target);
		return;
	}
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	listener = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
	if (fd < 0 || listener < 0)
		broken("raw socket", errno);
	packet = make_segment(source, target, TH_SYN, SEQUENCE, 0, "");
	if (!strcmp(argument[0], "fragments")) {
		/* The header says more fragments; the second half of the TCP header follows. */
		struct packet first = packet, second = packet;
		struct iphdr *ip = (struct iphdr *)first.bytes;

		ip->frag_off = htons(IP_MF);
		if (sendto(fd, first.bytes, 36, 0, &target.any, target.length) < 0)
			fail("send", errno);
		ip = (struct iphdr *)second.bytes;
		ip->frag_off = htons(2);
		memmove(second.bytes + 20, second.bytes + 36, 4);
		if (sendto(fd, second.bytes, 24, 0, &target.any, target.length) < 0)
			fail("send", errno);
	} else if (sendto(fd, packet.bytes, packet.length, 0, &target.any, target.length) < 0) {
		fail("send", errno);
	}
	await_answer(listener, source, target);
}

/* INTERFACE NEXT-HOP SOURCE ADDRESS PORT [bypass]: a SYN in a frame of our own, to the
 * hardware address of the next hop; round the interface's queue, if so asked.
 */
void attack_frame(char **argument)
{
	struct target source = parse_target(argument[2], SOURCE_PORT);
	struct target target = parse_target(argument[3], argument[4]);
	uint16_t protocol = target.any.sa_family == AF_INET ? ETHERTYPE_IP : ETHERTYPE_IPV6;
	struct packet packet = make_segment(source, target, TH_SYN, SEQUENCE, 0, "");
	int fd = open_link(argument[0], protocol);
	uint8_t hop[8];

	parse_hardware(argument[1], hop);
	if (argument[5]) {
		int one = 1;

		if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0)
			broken("bypass", errno);
	}
	send_frame(fd, argument[0], hop, protocol, packet.bytes, packet.length);
	await_answer(fd, source, target);
}
