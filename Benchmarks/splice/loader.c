/* Loads the programs, attaches them to a cgroup, and obeys lines on standard input:
 *
 *   mode off|answers|both|naive   for connections that are made from now on
 *   add MODE PID FD PID FD        puts an established pair in the maps: client, server
 *   guard on|off                  drops every packet with bytes that the cgroup sends
 *   counters                      since the last such line
 *   entries                       sockets that are in the maps now
 *
 * One line of JSON answers each. Everything is detached when it exits.
 *
 *   loader CGROUP METADATA-IP SERVER-IP SERVER-PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "splice.h"
#include "build/splice.skel.h"

static const char *const mode_names[] = { "off", "answers", "both", "naive" };
static const char *const counter_names[] = SPLICE_COUNTER_NAMES;

static void die(const char *what)
{
	fprintf(stderr, "loader: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int mode_named(const char *name)
{
	for (int mode = 0; mode < 4; mode++)
		if (!strcmp(name, mode_names[mode]))
			return mode;
	fprintf(stderr, "loader: no mode %s\n", name);
	exit(1);
}

static int borrow(int pid, int fd)
{
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	int copy;

	if (process < 0)
		die("pidfd_open");
	copy = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	if (copy < 0)
		die("pidfd_getfd");
	close(process);
	return copy;
}

static void put(struct bpf_map *map, __u64 key, int fd)
{
	__u64 value = (__u64)fd;

	if (bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_NOEXIST))
		die("adding a socket");
}

static void add(struct splice_bpf *skel, const char *mode_name, int client, int server)
{
	struct splice_end end = { .mode = (__u32)mode_named(mode_name) };
	socklen_t size = sizeof(end.connection);

	if (getsockopt(client, SOL_SOCKET, SO_COOKIE, &end.connection, &size))
		die("SO_COOKIE");
	if (bpf_map_update_elem(bpf_map__fd(skel->maps.ends), &client, &end, BPF_ANY))
		die("storage");
	end.is_server = 1;
	if (bpf_map_update_elem(bpf_map__fd(skel->maps.ends), &server, &end, BPF_ANY))
		die("storage");
	put(end.mode == SPLICE_ANSWERS ? skel->maps.receivers : skel->maps.clients,
	    end.connection, client);
	put(skel->maps.servers, end.connection, server);
	printf("{}\n");
}

static void print_counters(struct splice_bpf *skel)
{
	static __u64 before[SPLICE_COUNTERS];
	int cpus = libbpf_num_possible_cpus();
	__u64 values[cpus];

	printf("{");
	for (__u32 which = 0; which < SPLICE_COUNTERS; which++) {
		__u64 sum = 0;

		if (bpf_map_lookup_elem(bpf_map__fd(skel->maps.counters), &which, values))
			die("counters");
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[cpu];
		printf("%s\"%s\": %llu", which ? ", " : "", counter_names[which],
		       (unsigned long long)(sum - before[which]));
		before[which] = sum;
	}
	printf("}\n");
}

static unsigned int entries(struct bpf_map *map)
{
	unsigned int count = 0;
	__u64 key, *previous = NULL;

	while (!bpf_map_get_next_key(bpf_map__fd(map), previous, &key)) {
		previous = &key;
		count++;
	}
	return count;
}

static void attach_verdict(struct bpf_program *program, struct bpf_map *map)
{
	if (bpf_prog_attach(bpf_program__fd(program), bpf_map__fd(map), BPF_SK_MSG_VERDICT, 0))
		die("attaching sk_msg");
}

static void guard(struct splice_bpf *skel, bool on, int cgroup)
{
	if (on) {
		skel->links.splice_guard =
			bpf_program__attach_cgroup(skel->progs.splice_guard, cgroup);
		if (!skel->links.splice_guard)
			die("attaching the guard");
	} else {
		bpf_link__destroy(skel->links.splice_guard);
		skel->links.splice_guard = NULL;
	}
	printf("{}\n");
}

static void obey(struct splice_bpf *skel, int cgroup)
{
	char line[128], mode[16];
	int pids[2], fds[2];

	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "mode %15s", mode) == 1) {
			skel->bss->splice_mode = (__u32)mode_named(mode);
			printf("{}\n");
		} else if (sscanf(line, "add %15s %d %d %d %d", mode, &pids[0], &fds[0], &pids[1],
				  &fds[1]) == 5) {
			int client = borrow(pids[0], fds[0]);
			int server = borrow(pids[1], fds[1]);

			add(skel, mode, client, server);
			close(client);
			close(server);
		} else if (!strncmp(line, "guard ", 6)) {
			guard(skel, !strncmp(line + 6, "on", 2), cgroup);
		} else if (!strncmp(line, "counters", 8)) {
			print_counters(skel);
		} else if (!strncmp(line, "entries", 7)) {
			printf("{\"entries\": %u}\n", entries(skel->maps.clients) +
			       entries(skel->maps.receivers) + entries(skel->maps.servers));
		}
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	struct splice_bpf *skel;
	int cgroup;

	if (argc != 5) {
		fprintf(stderr, "usage: loader CGROUP METADATA-IP SERVER-IP SERVER-PORT\n");
		return 2;
	}
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		die(argv[1]);
	skel = splice_bpf__open();
	if (!skel)
		die("open");
	if (inet_pton(AF_INET, argv[2], (void *)&skel->rodata->splice_metadata_ip4) != 1 ||
	    inet_pton(AF_INET, argv[3], (void *)&skel->rodata->splice_server_ip4) != 1)
		die("address");
	skel->rodata->splice_server_port = (__u32)atoi(argv[4]);
	if (splice_bpf__load(skel))
		die("load");
	attach_verdict(skel->progs.splice_answer, skel->maps.servers);
	attach_verdict(skel->progs.splice_request, skel->maps.clients);
	skel->links.splice_connect4 = bpf_program__attach_cgroup(skel->progs.splice_connect4, cgroup);
	skel->links.splice_sockops = bpf_program__attach_cgroup(skel->progs.splice_sockops, cgroup);
	if (!skel->links.splice_connect4 || !skel->links.splice_sockops)
		die("attach");
	printf("{\"attached\": true}\n");
	fflush(stdout);
	obey(skel, cgroup);
	splice_bpf__destroy(skel);
	return 0;
}
