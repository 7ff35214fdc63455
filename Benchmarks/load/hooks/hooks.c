// SPDX-License-Identifier: Apache-2.0
/*
 * What kernel programs cost everybody else. Does the same work without any, and with each of several sets of them
 * attached, in turns, and prints the nanoseconds of one operation, a value a round: a machine that slows down moves
 * all of them. Every operation is done within its own system calls, on one processor, by one thread that nothing
 * interrupts for long (SCHED_FIFO): no scheduler takes part, and no statistics of the kernel, whose own price is more
 * than that of most programs.
 *
 *   hooks --root CGROUP --kubepods CGROUP:LEVEL --node NETNS --place NAME:CGROUP:NETNS:PEER-NETNS:ADDRESS ...
 *         --set NAME:DIRECTORY:root|kubepods:NETFILTER ... [--work NAME] [--rounds 15] [--ms 20]
 *
 * One line of JSON for each place and work.
 */
#include "hooks.h"

#include <getopt.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define PLACES_MAX 8
#define ROUNDS_MAX 128

static void print_values(const char *name, const double *values, int count, bool is_first)
{
	printf("%s\"%s\": [", is_first ? "" : ", ", name);
	for (int i = 0; i < count; i++)
		printf("%s%.1f", i ? ", " : "", values[i]);
	printf("]");
}

static void measure(const struct work *work, const struct place *place, struct set *sets, int set_count,
		    const struct ground *ground, int rounds, int ms)
{
	static double values[SETS_MAX + 1][ROUNDS_MAX];
	struct run run;

	enter_cgroup(place->cgroup);
	open_run(work, place, &run);
	do_batch(work, &run, ms);
	for (int round = 0; round < rounds; round++) {
		for (int turn = 0; turn <= set_count; turn++) {
			/* Nobody is always the first. */
			int which = (turn + round) % (set_count + 1);

			if (which < set_count)
				attach_set(&sets[which], ground);
			enter_network(place->network);
			values[which][round] = do_batch(work, &run, ms);
			if (which < set_count)
				detach_set(&sets[which]);
			/* What detaching leaves to others. */
			usleep(3000);
		}
	}
	close_run(&run);
	printf("{\"place\": \"%s\", \"work\": \"%s\", \"values\": {", place->name, work->name);
	print_values("none", values[set_count], rounds, true);
	for (int i = 0; i < set_count; i++)
		print_values(sets[i].name, values[i], rounds, false);
	printf("}}\n");
	fflush(stdout);
}

static int open_cgroup(const char *path, uint64_t *id)
{
	int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;

	if (directory < 0 || fstat(directory, &status))
		die("open %s", path);
	if (id)
		*id = status.st_ino;
	return directory;
}

static void run_alone(void)
{
	struct sched_param parameters = { .sched_priority = 20 };
	long last = sysconf(_SC_NPROCESSORS_ONLN) - 1;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)last, &set);
	if (sched_setaffinity(0, sizeof(set), &set) || sched_setscheduler(0, SCHED_FIFO, &parameters) ||
	    mlockall(MCL_CURRENT | MCL_FUTURE))
		die("run before everything else");
}

static char *part(char **rest)
{
	char *word = strsep(rest, ":");

	if (!word || !*word)
		die("a part is missing");
	return word;
}

static struct place parse_place(char *words)
{
	struct place place;

	place.name = part(&words);
	place.cgroup = part(&words);
	place.network = part(&words);
	place.peer_network = part(&words);
	place.address = part(&words);
	return place;
}

static int print_warnings(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, arguments) : 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "root", 1, 0, 'r' },	 { "kubepods", 1, 0, 'k' }, { "node", 1, 0, 'n' },   { "place", 1, 0, 'p' },
		{ "set", 1, 0, 's' },	 { "work", 1, 0, 'w' },	    { "rounds", 1, 0, 'c' }, { "ms", 1, 0, 'm' },
		{ 0, 0, 0, 0 },
	};
	char *set_words[SETS_MAX], *wanted = NULL;
	int set_count = 0, place_count = 0, rounds = 15, ms = 20, option;
	struct place places[PLACES_MAX];
	struct set sets[SETS_MAX] = {};
	struct ground ground = {};

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'r': ground.root = open_cgroup(optarg, NULL); break;
		case 'k':
			ground.kubepods = open_cgroup(part(&optarg), &ground.kubepods_id);
			ground.kubepods_level = (uint32_t)atoi(part(&optarg));
			break;
		case 'n': ground.node_network = optarg; break;
		case 'p':
			if (place_count == PLACES_MAX)
				die("too many places");
			places[place_count++] = parse_place(optarg);
			break;
		case 's':
			if (set_count == SETS_MAX)
				die("too many sets");
			set_words[set_count++] = optarg;
			break;
		case 'w': wanted = optarg; break;
		case 'c': rounds = atoi(optarg); break;
		case 'm': ms = atoi(optarg); break;
		default: return 2;
		}
	}
	if (rounds < 1 || rounds > ROUNDS_MAX)
		die("1 to %d rounds", ROUNDS_MAX);
	libbpf_set_print(print_warnings);
	for (int i = 0; i < set_count; i++) {
		char *words = set_words[i], *directory;

		sets[i].name = part(&words);
		directory = part(&words);
		sets[i].guards_everybody = !strcmp(part(&words), "root");
		sets[i].netfilter = part(&words);
		load_set(&sets[i], directory, &ground);
	}
	run_alone();
	for (int p = 0; p < place_count; p++)
		for (int w = 0; w < work_count; w++)
			if (!wanted || !strcmp(wanted, works[w].name))
				measure(&works[w], &places[p], sets, set_count, &ground, rounds, ms);
	return 0;
}
