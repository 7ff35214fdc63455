#include "segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <string.h>

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

struct packet make_segment(struct target source, struct target target, uint8_t flags, uint32_t seq,
			   uint32_t ack, const char *payload)
{
	size_t length = strlen(payload);
	struct tcphdr tcp = { .source = source.v4.sin_port, .dest = target.v4.sin_port,
			      .seq = htonl(seq), .ack_seq = htonl(ack), .doff = 5,
			      .window = htons(8192) };
	struct packet packet = { .length = 0 };
	size_t total = sizeof(tcp) + length;
	uint32_t sum = add(IPPROTO_TCP + (uint32_t)total, payload, length);

	tcp.th_flags = flags;
	if (target.any.sa_family == AF_INET) {
		struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP,
				    .tot_len = htons((uint16_t)(sizeof(ip) + total)),
				    .id = htons(7), .saddr = source.v4.sin_addr.s_addr,
				    .daddr = target.v4.sin_addr.s_addr };

		sum = add(sum, &ip.saddr, 8);
		ip.check = fold(add(0, &ip, sizeof(ip)));
		memcpy(packet.bytes, &ip, sizeof(ip));
		packet.length = sizeof(ip);
	} else {
		struct ip6_hdr ip = { .ip6_src = source.v6.sin6_addr, .ip6_dst = target.v6.sin6_addr };

		ip.ip6_flow = htonl(6u << 28);
		ip.ip6_plen = htons((uint16_t)total);
		ip.ip6_nxt = IPPROTO_TCP;
		ip.ip6_hlim = 64;
		sum = add(sum, &ip.ip6_src, 32);
		memcpy(packet.bytes, &ip, sizeof(ip));
		packet.length = sizeof(ip);
	}
	tcp.check = fold(add(sum, &tcp, sizeof(tcp)));
	memcpy(packet.bytes + packet.length, &tcp, sizeof(tcp));
	memcpy(packet.bytes + packet.length + sizeof(tcp), payload, length);
	packet.length += total;
	return packet;
}

int read_segment(const uint8_t *bytes, ssize_t length, struct target source, struct target target,
		 struct segment *segment)
{
	size_t header, total;

	if (target.any.sa_family == AF_INET) {
		struct iphdr ip;

		if (length < (ssize_t)sizeof(ip))
			return 0;
		memcpy(&ip, bytes, sizeof(ip));
		header = ip.ihl * 4u;
		total = ntohs(ip.tot_len);
		if (ip.version != 4 || ip.protocol != IPPROTO_TCP ||
		    ip.saddr != target.v4.sin_addr.s_addr || ip.daddr != source.v4.sin_addr.s_addr)
			return 0;
	} else {
		struct ip6_hdr ip;

		if (length < (ssize_t)sizeof(ip))
			return 0;
		memcpy(&ip, bytes, sizeof(ip));
		header = sizeof(ip);
		total = header + ntohs(ip.ip6_plen);
		if (ip.ip6_nxt != IPPROTO_TCP ||
		    memcmp(&ip.ip6_src, &target.v6.sin6_addr, 16) != 0 ||
		    memcmp(&ip.ip6_dst, &source.v6.sin6_addr, 16) != 0)
			return 0;
	}
	if (length < (ssize_t)(header + sizeof(segment->tcp)))
		return 0;
	memcpy(&segment->tcp, bytes + header, sizeof(segment->tcp));
	segment->payload = total - header - segment->tcp.doff * 4u;
	return segment->tcp.source == target.v4.sin_port && segment->tcp.dest == source.v4.sin_port;
}

void parse_hardware(const char *text, uint8_t address[8])
{
	unsigned byte[6];

	if (sscanf(text, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
		   &byte[5]) != 6)
		broken("hardware address", EINVAL);
	for (int i = 0; i < 6; i++)
		address[i] = (uint8_t)byte[i];
}

int open_link(const char *interface, uint16_t protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
				       .sll_ifindex = (int)if_nametoindex(interface) };
	int fd = socket(AF_PACKET, SOCK_DGRAM, htons(protocol));

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		broken("packet socket", errno);
	return fd;
}

void send_frame(int fd, const char *interface, const uint8_t to[8], uint16_t protocol,
		const void *bytes, size_t length)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
				       .sll_ifindex = (int)if_nametoindex(interface), .sll_halen = 6 };

	memcpy(address.sll_addr, to, 6);
	if (sendto(fd, bytes, length, 0, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("send", errno);
}
