/* Runs participants in every order. Each is a function with a stack of its own, which stops at each point. The explorer keeps the
 * whole state (the world, the stacks, the registers) before each step, and comes back to it for the next order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTICIPANTS_MAX 4

typedef void participant(void);
typedef bool condition(void);

/* For participants. */
/* Lets another participant go on, or this one. */
void point(void);
/* Lets the explorer try each of `count` values. */
int choose(int count);
void wait_until(condition *is_met);
/* Notes what this participant does from here on, for the trace. */
void doing(const char *what);
/* Ends the search: a rule is broken. */
void broken(const char *rule);
int current_participant(void);

struct result {
	unsigned long long states;
	unsigned long long steps;
	unsigned long long ends;
	/* NULL: every order keeps every rule. */
	const char *broken;
	/* More states than there is room for: the search did not see all of them. */
	bool is_cut;
};

/* Explores from the present state of the world, which is all that participants share. */
struct result explore(void *world, size_t size, participant *const *participants, const char *const *names, int count);
/* Prints the steps to the broken rule. */
void print_trace(void);
