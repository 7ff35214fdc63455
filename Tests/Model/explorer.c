#include "explorer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define STACK_BYTES 4096
#define DEPTH_MAX 400
/* A power of two. */
#define STATES_MAX (1ULL << 23)
/* Below the frame of a function that has no stack pointer of its own yet. */
#define RED_ZONE 256

struct thread {
	jmp_buf registers;
	/* The lowest byte of the stack that is in use. */
	char *low;
	const char *doing;
	condition *is_met;
	int choices;
	int choice;
	bool is_finished;
};

struct state {
	struct thread threads[PARTICIPANTS_MAX];
	_Alignas(16) char stacks[PARTICIPANTS_MAX][STACK_BYTES];
};

struct key {
	uint64_t first, second;
};

static struct state state;
static struct {
	void *bytes;
	size_t size;
} world;
static participant *const *entries;
static const char *const *names;
static int count, running;
static jmp_buf explorer;
static struct key *seen;
static struct result result;
static struct {
	int thread;
	const char *doing;
} trace[DEPTH_MAX];
static int trace_length;

int current_participant(void)
{
	return running;
}

static __attribute__((noinline)) void stop(void)
{
	struct thread *thread = &state.threads[running];

	thread->low = (char *)__builtin_frame_address(0) - RED_ZONE;
	if (!_setjmp(thread->registers))
		_longjmp(explorer, 1);
}

void point(void)
{
	stop();
}

int choose(int values)
{
	struct thread *thread = &state.threads[running];

	thread->choices = values;
	stop();
	thread->choices = 0;
	return thread->choice;
}

void wait_until(condition *is_met)
{
	struct thread *thread = &state.threads[running];

	thread->is_met = is_met;
	stop();
	thread->is_met = NULL;
}

void doing(const char *what)
{
	state.threads[running].doing = what;
}

void broken(const char *rule)
{
	if (!result.broken)
		result.broken = rule;
}

static void begin(void)
{
	stop();
	entries[running]();
	state.threads[running].is_finished = true;
	_longjmp(explorer, 1);
}

static void resume(int thread)
{
	running = thread;
	if (!_setjmp(explorer))
		_longjmp(state.threads[thread].registers, 1);
}

static void prepare(int thread)
{
	static ucontext_t here, there;

	getcontext(&there);
	there.uc_stack.ss_sp = state.stacks[thread];
	there.uc_stack.ss_size = STACK_BYTES;
	there.uc_link = NULL;
	makecontext(&there, begin, 0);
	running = thread;
	if (!_setjmp(explorer))
		swapcontext(&here, &there);
}

static void mix(struct key *key, const void *bytes, size_t size)
{
	const char *next = bytes;

	for (uint64_t word; size; next += sizeof(word), size -= sizeof(word) < size ? sizeof(word) : size) {
		word = 0;
		memcpy(&word, next, sizeof(word) < size ? sizeof(word) : size);
		key->first = (key->first ^ word) * 0x9e3779b97f4a7c15ULL;
		key->first ^= key->first >> 32;
		key->second = (key->second + word) * 0xd6e8feb86659fd93ULL;
		key->second ^= key->second >> 29;
	}
}

/* The whole state: what is below a stack's end is cleared, so that it tells nothing of the past. */
static struct key key_of_state(void)
{
	struct key key = { 1, 1 };

	mix(&key, world.bytes, world.size);
	for (int i = 0; i < count; i++) {
		struct thread *thread = &state.threads[i];
		char *end = state.stacks[i] + STACK_BYTES;

		mix(&key, &thread->is_finished, sizeof(thread->is_finished));
		if (thread->is_finished)
			continue;
		memset(state.stacks[i], 0, (size_t)(thread->low - state.stacks[i]));
		mix(&key, thread->registers, sizeof(thread->registers));
		mix(&key, &thread->choices, sizeof(thread->choices));
		mix(&key, &thread->is_met, sizeof(thread->is_met));
		mix(&key, thread->low, (size_t)(end - thread->low));
	}
	return key;
}

/* Returns false if this state was there before. */
static bool is_new(struct key key)
{
	uint64_t index = key.first & (STATES_MAX - 1);

	if (result.states > STATES_MAX / 4 * 3) {
		result.is_cut = true;
		return false;
	}
	while (seen[index].first || seen[index].second) {
		if (seen[index].first == key.first && seen[index].second == key.second)
			return false;
		index = (index + 1) & (STATES_MAX - 1);
	}
	seen[index] = key;
	result.states++;
	return true;
}

static void visit(int depth);

/* A copy of the state for each depth of the search. */
static char *saved[DEPTH_MAX];

static void save(int depth)
{
	char *to = saved[depth];

	memcpy(to, world.bytes, world.size);
	to += world.size;
	memcpy(to, state.threads, sizeof(state.threads));
	to += sizeof(state.threads);
	for (int i = 0; i < count; i++) {
		size_t size = (size_t)(state.stacks[i] + STACK_BYTES - state.threads[i].low);

		memcpy(to, state.threads[i].low, size);
		to += size;
	}
}

static void restore(int depth)
{
	const char *from = saved[depth];

	memcpy(world.bytes, from, world.size);
	from += world.size;
	memcpy(state.threads, from, sizeof(state.threads));
	from += sizeof(state.threads);
	for (int i = 0; i < count; i++) {
		size_t size = (size_t)(state.stacks[i] + STACK_BYTES - state.threads[i].low);

		memcpy(state.threads[i].low, from, size);
		from += size;
	}
}

/* One participant's step, once for each value that it may choose. */
static bool step(int depth, int thread)
{
	const struct thread *next = &state.threads[thread];
	int values = next->choices ? next->choices : 1;

	if (next->is_finished || (next->is_met && !next->is_met()))
		return false;
	save(depth);
	for (int value = 0; value < values && !result.broken; value++) {
		state.threads[thread].choice = value;
		resume(thread);
		trace[depth].thread = thread;
		trace[depth].doing = state.threads[thread].doing;
		result.steps++;
		visit(depth + 1);
		restore(depth);
	}
	return true;
}

static void visit(int depth)
{
	bool is_end = true;

	if (result.broken) {
		trace_length = depth;
		return;
	}
	if (depth == DEPTH_MAX) {
		result.is_cut = true;
		return;
	}
	if (!is_new(key_of_state()))
		return;
	for (int thread = 0; thread < count && !result.broken; thread++)
		if (step(depth, thread))
			is_end = false;
	if (is_end)
		result.ends++;
}

struct result explore(void *bytes, size_t size, participant *const *participants, const char *const *labels, int number)
{
	entries = participants;
	names = labels;
	count = number;
	world.bytes = bytes;
	world.size = size;
	result = (struct result){ 0 };
	memset(&state, 0, sizeof(state));
	seen = calloc(STATES_MAX, sizeof(*seen));
	for (int depth = 0; depth < DEPTH_MAX; depth++)
		if (!saved[depth])
			saved[depth] = malloc(sizeof(state) + size);
	if (!seen || !saved[DEPTH_MAX - 1])
		abort();
	for (int thread = 0; thread < count; thread++)
		prepare(thread);
	visit(0);
	free(seen);
	return result;
}

void print_trace(void)
{
	const char *last = NULL;
	int thread = -1;

	for (int i = 0; i < trace_length; i++) {
		if (trace[i].thread == thread && trace[i].doing == last)
			continue;
		thread = trace[i].thread;
		last = trace[i].doing;
		printf("    %-8s %s\n", names[thread], last ? last : "");
	}
}
