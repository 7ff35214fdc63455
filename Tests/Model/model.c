/* Tries every order of the steps of three participants, with the shipped program bpf/redirect.bpf.c between them: a pod that
 * connects, the agent that accepts, and a hostile process in the same network namespace.
 *
 * Rules: a token reaches no pod but the one whose process connected; and no pod's own connection is left without identity.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "explorer.h"
#include "world.h"

#define REQUEST_BYTES 100

static int hostile_actions;
static bool may_translate, may_pass;
/* Over all orders: shows that the rules were tested. */
static unsigned long long answers[PODS], refusals;

static bool is_work_left(void)
{
	return is_queue_filled() || world.ended == PODS;
}

static int receiver_of(const struct model_socket *accepted)
{
	bool is_open = accepted->view.state == BPF_TCP_ESTABLISHED || accepted->view.state == BPF_TCP_CLOSE_WAIT;

	return is_open && accepted->peer != NONE ? world.sockets[accepted->peer].connector : NONE;
}

/* Both ends see the same ports, and the client was redirected. */
static bool is_own(const struct model_socket *accepted)
{
	const struct model_socket *client = &world.sockets[accepted->peer];

	return client->has_note && client->view.dst_port == __builtin_bswap16(FIRST_PORT) &&
	       accepted->view.dst_port == __builtin_bswap16((__u16)client->view.src_port);
}

static void agent(void)
{
	for (;;) {
		struct model_socket *accepted;
		int receiver;

		doing("waits for a connection");
		wait_until(is_work_left);
		if (!is_queue_filled())
			return;
		doing("accepts a connection");
		accepted = &world.sockets[accept_socket()];
		receiver = receiver_of(accepted);
		if (accepted->tag.state != NID_TAG_CLAIMED) {
			refusals++;
			if (receiver != NONE && is_own(accepted))
				broken("a pod's own connection has no identity");
			continue;
		}
		doing("answers with a token");
		point();
		receiver = receiver_of(accepted);
		if (receiver == NONE)
			continue;
		answers[receiver]++;
		if (accepted->tag.pod != POD_CGROUP(receiver) || accepted->tag.leaf != POD_CGROUP(receiver) + 1 ||
		    accepted->tag.ancestors[0] != POD_CGROUP(receiver))
			broken("a pod's token reaches another");
	}
}

static void victim(void)
{
	int own;

	doing("connects to the metadata address");
	own = open_socket(VICTIM);
	world.sockets[own].bound = CLIENT_PORT;
	if (connect_socket(own, METADATA4, 80)) {
		doing("sends a request");
		send_on(own, REQUEST_BYTES);
		switch (choose(may_pass ? 5 : 4)) {
		case 0:
			break;
		case 1:
			doing("resets its connection");
			reset(own);
			break;
		case 2:
			doing("closes its connection");
			finish(own);
			break;
		case 3:
			doing("resets its connection, and connects again");
			reset(own);
			point();
			connect_socket(own, METADATA4, 80);
			break;
		case 4:
			doing("passes its connected socket on");
			world.passed = own;
			break;
		}
	}
	world.ended++;
}

enum action {
	CONNECT_DIRECTLY, CONNECT_REDIRECTED, CONNECT_AGAIN_DIRECTLY, CONNECT_AGAIN_REDIRECTED, SEND, RESET, TRANSLATE, TAKE_PASSED, ACTIONS
};

static void fresh(int *own, __u32 address, __u16 port)
{
	*own = open_socket(HOSTILE);
	if (*own == NONE)
		return;
	world.sockets[*own].bound = (__u16)(CLIENT_PORT + choose(2));
	connect_socket(*own, address, port);
}

static void again(int own, __u32 address, __u16 port)
{
	if (own == NONE)
		return;
	reset(own);
	point();
	connect_socket(own, address, port);
}

static void act(enum action action, int *own)
{
	switch (action) {
	case CONNECT_DIRECTLY:
		doing("connects to the agent's port directly");
		return fresh(own, LOOPBACK4, FIRST_PORT);
	case CONNECT_REDIRECTED:
		doing("connects to the metadata address");
		return fresh(own, METADATA4, 80);
	case CONNECT_AGAIN_DIRECTLY:
		doing("resets its connection, and connects the socket to the agent's port directly");
		return again(*own, LOOPBACK4, FIRST_PORT);
	case CONNECT_AGAIN_REDIRECTED:
		doing("resets its connection, and connects the socket to the metadata address");
		return again(*own, METADATA4, 80);
	case SEND:
		doing("sends a request");
		if (*own != NONE)
			send_on(*own, REQUEST_BYTES);
		return;
	case RESET:
		doing("resets its connection");
		if (*own != NONE)
			reset(*own);
		return;
	case TRANSLATE:
		doing("turns the victim's connections to a server of its own, and gives its own the victim's port");
		world.translates = may_translate;
		return;
	case TAKE_PASSED:
		doing("takes the socket that was passed on");
		if (world.passed != NONE)
			*own = world.passed;
		return;
	default:
		return;
	}
}

static void hostile(void)
{
	int own = NONE;

	for (int i = 0; i < hostile_actions; i++) {
		int action = choose(ACTIONS + 1);

		if (action == ACTIONS)
			break;
		if ((action == TRANSLATE && !may_translate) || (action == TAKE_PASSED && !may_pass))
			continue;
		act((enum action)action, &own);
	}
	world.ended++;
}

struct scenario {
	const char *name;
	int actions;
	bool translates, passes;
};

static int run(const struct scenario *scenario)
{
	participant *const participants[] = { victim, hostile, agent };
	const char *const names[] = { "victim", "hostile", "agent" };
	struct result result;

	hostile_actions = scenario->actions;
	may_translate = scenario->translates;
	may_pass = scenario->passes;
	memset(answers, 0, sizeof(answers));
	refusals = 0;
	reset_world();
	result = explore(&world, sizeof(world), participants, names, 3);
	printf("%-44s %9llu states, %10llu steps, %7llu ends; %llu and %llu tokens, %llu refused: %s\n", scenario->name,
	       result.states, result.steps, result.ends, answers[VICTIM], answers[HOSTILE], refusals,
	       result.broken ? result.broken : result.is_cut ? "cut short" : "every rule holds");
	if (result.broken)
		print_trace();
	fflush(stdout);
	return result.broken || result.is_cut || !answers[VICTIM] || !answers[HOSTILE] || !refusals;
}

int main(int count, char **arguments)
{
	static struct scenario scenarios[] = {
		{ "a hostile process, two actions", 2, false, false },
		{ "that may translate addresses", 2, true, false },
		{ "that gets the victim's socket", 2, false, true },
	};
	int failed = 0;

	for (size_t i = 0; count > 1 && i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		scenarios[i].actions = atoi(arguments[1]);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
		failed |= run(&scenarios[i]);
	return failed;
}
