#include "attack.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t read_hexadecimal(const char *text, uint8_t *bytes, size_t size)
{
	size_t length = 0;

	for (; text[0] && text[1] && length < size; text += 2) {
		unsigned byte;

		if (sscanf(text, "%2x", &byte) != 1)
			broken("hexadecimal bytes", EINVAL);
		bytes[length++] = (uint8_t)byte;
	}
	return length;
}

/* PIN KEY VALUE MILLISECONDS: overwrites an entry of a pinned map, with key and value in
 * hexadecimal, again and again for so long; a shorter value replaces the entry's first
 * bytes. No attack: only the node's root can. It takes
 * away what a guard stands on, to see whether anything else held.
 */
void attack_overwrite(char **argument)
{
	long end = now_ms() + atol(argument[3]);
	uint8_t key[64] = {}, value[256] = {};
	int said = 0;
	union bpf_attr attr = { .pathname = (uintptr_t)argument[0] };
	int map = (int)syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));

	if (map < 0)
		broken("pinned map", errno);
	read_hexadecimal(argument[1], key, sizeof(key));
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (unsigned)map;
	attr.key = (uintptr_t)key;
	attr.value = (uintptr_t)value;
	if (syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) < 0 && errno != ENOENT)
		broken("look-up", errno);
	read_hexadecimal(argument[2], value, sizeof(value));
	do {
		if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) < 0)
			broken("overwrite", errno);
		if (!said++)
			fprintf(stderr, "overwritten\n");
		usleep(200);
	} while (now_ms() < end);
	printf("overwritten\n");
}
