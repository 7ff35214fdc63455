/* podidentd-init: the first process of the agent's container. It starts the agent, starts it again at once when it has
 * ended without being told to, and keeps copies of its listening sockets meanwhile: connections wait in their queues and
 * none is refused.
 *
 *   podidentd-init /podidentd run ...     supervises
 *   podidentd-init /podidentd OTHER ...   becomes the program, which needs no supervisor
 *
 * The program reads no bytes but messages of sixteen, the agent's (Sources/Restart/Supervision/SupervisorLink.swift), and holds
 * no capability itself; those that the agent needs are only permitted, so that the agent can have them.
 *
 * Ends with the agent's own status in three cases: the agent ended as it was told to, failed before it served, or has
 * crashed too often. What started the container then decides.
 */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Room for the descriptor's number. */
#define VARIABLE "PODIDENTD_INIT_SOCKET"

static const int forwarded[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

struct supervisor {
	char **command;
	sigset_t signals;
	int signal_descriptor;
	struct crashes crashes;
	struct kept kept;
	unsigned int restarts;
	int last_status;
	/* Told to end: whatever becomes of the agent, it is not started again. */
	bool ending;
	/* The agent that runs. */
	pid_t agent;
	int socket;
	bool served;
};

static int64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int fail(const char *what)
{
	fprintf(stderr, "Error: podidentd-init cannot %s: %s\n", what, strerror(errno));
	return 1;
}

/* In the child: never returns. */
static void become_agent(struct supervisor *supervisor, int socket, pid_t parent)
{
	char number[16];

	/* Outside a container nothing else ends the agent with its supervisor. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	snprintf(number, sizeof(number), "%d", socket);
	setenv(VARIABLE, number, 1);
	sigprocmask(SIG_UNBLOCK, &supervisor->signals, NULL);
	execv(supervisor->command[0], supervisor->command);
	_exit(fail("start the agent"));
}

static int start_agent(struct supervisor *supervisor)
{
	pid_t parent = getpid();
	int ends[2];

	if (make_pair(ends) != 0)
		return -1;
	supervisor->agent = fork();
	if (supervisor->agent == 0) {
		close(ends[0]);
		become_agent(supervisor, ends[1], parent);
	}
	close(ends[1]);
	if (supervisor->agent < 0) {
		close(ends[0]);
		return -1;
	}
	supervisor->socket = ends[0];
	supervisor->served = false;
	/* An agent that does not take them goes on without, and its pods' connections are refused until it listens again. */
	(void)send_start(ends[0], supervisor->restarts, supervisor->last_status, &supervisor->kept);
	return 0;
}

/* Takes one signal. Returns whether the agent has ended. */
static bool take_signal(struct supervisor *supervisor)
{
	struct signalfd_siginfo info;
	bool ended = false;
	pid_t child;
	int status;

	if (read(supervisor->signal_descriptor, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo != SIGCHLD) {
		if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
			supervisor->ending = true;
			/* Refused from here on, as without a supervisor. */
			forget(&supervisor->kept);
		}
		if (supervisor->agent > 0)
			kill(supervisor->agent, (int)info.ssi_signo);
		return false;
	}
	/* Also of orphans, whose parent the first process is. */
	while ((child = waitpid(-1, &status, WNOHANG)) > 0) {
		if (child != supervisor->agent)
			continue;
		supervisor->agent = 0;
		supervisor->last_status = status;
		ended = true;
	}
	return ended;
}

/* Until the agent has ended. */
static void watch_agent(struct supervisor *supervisor)
{
	struct pollfd polled[2] = {
		{ .fd = supervisor->signal_descriptor, .events = POLLIN },
		{ .fd = supervisor->socket, .events = POLLIN },
	};

	for (;;) {
		if (poll(polled, 2, -1) < 0)
			continue;
		/* First what the agent said, then how it ended. */
		if (polled[1].revents) {
			enum message message = receive_message(supervisor->socket, &supervisor->kept);

			if (message == MESSAGE_SERVING)
				supervisor->served = true;
			if (message == MESSAGE_END)
				polled[1].fd = -1;
			if (supervisor->ending)
				forget(&supervisor->kept);
			continue;
		}
		if (polled[0].revents && take_signal(supervisor))
			break;
	}
	close(supervisor->socket);
}

/* Pauses before the next start. Returns early when told to end. */
static void pause_for(struct supervisor *supervisor, int64_t pause)
{
	struct pollfd polled = { .fd = supervisor->signal_descriptor, .events = POLLIN };
	int64_t end = milliseconds() + pause;

	for (;;) {
		int64_t left = end - milliseconds();

		if (left <= 0 || supervisor->ending)
			return;
		if (poll(&polled, 1, (int)left) > 0)
			take_signal(supervisor);
	}
}

/* Whether to start the agent again, after the pause that is due. */
static bool goes_on(struct supervisor *supervisor)
{
	int64_t pause;

	if (supervisor->ending || supervisor->last_status == 0)
		return false;
	/* The agent has said why it cannot start; an operator has to repair it. */
	if (!supervisor->served && WIFEXITED(supervisor->last_status))
		return false;
	/* Replaced: its successor has the sockets, and would be replaced in turn. */
	if (supervisor->kept.replaced)
		return false;
	pause = pause_after_crash(&supervisor->crashes, milliseconds());
	if (pause < 0) {
		fprintf(stderr, "Error: the agent has ended %d times within a minute; podidentd-init gives up\n",
			CRASHES_MAX);
		return false;
	}
	pause_for(supervisor, pause);
	supervisor->restarts++;
	return !supervisor->ending;
}

static int supervise(char **command)
{
	struct supervisor supervisor = { .command = command };

	sigemptyset(&supervisor.signals);
	sigaddset(&supervisor.signals, SIGCHLD);
	for (size_t index = 0; index < sizeof(forwarded) / sizeof(forwarded[0]); index++)
		sigaddset(&supervisor.signals, forwarded[index]);
	sigprocmask(SIG_BLOCK, &supervisor.signals, NULL);
	supervisor.signal_descriptor = signalfd(-1, &supervisor.signals, SFD_CLOEXEC);
	if (supervisor.signal_descriptor < 0)
		return fail("receive signals");
	do {
		if (start_agent(&supervisor) != 0)
			return fail("start the agent");
		watch_agent(&supervisor);
	} while (goes_on(&supervisor));
	if (WIFSIGNALED(supervisor.last_status))
		return 128 + WTERMSIG(supervisor.last_status);
	return WEXITSTATUS(supervisor.last_status);
}

int main(int count, char **arguments)
{
	if (count < 2) {
		fprintf(stderr, "usage: podidentd-init PROGRAM [COMMAND ...]\n");
		return 64;
	}
	if (count < 3 || strcmp(arguments[2], "run") != 0) {
		execv(arguments[1], arguments + 1);
		return fail("start the program");
	}
	raise_descriptor_limit();
	if (reduce_rights() != 0)
		return fail("give up rights");
	return supervise(arguments + 1);
}
