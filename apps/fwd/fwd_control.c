/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The control socket: a Unix stream socket that only its owner may use. A command is one line, and
 * its answer is one line, "ok ..." or "error: ...". The main thread serves the socket between its
 * other duties, one command at a time.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fwd.h"

#define CLIENTS 8
#define LINE    256
#define ANSWER  4096

struct client {
	int fd; /* -1: none */
	size_t n;
	char line[LINE];
};

static struct {
	int fd; /* -1: no socket */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct client clients[CLIENTS];
} control = { .fd = -1 };

/* ---------------------------------------------------------------------------------- commands */

static void fail(char *answer, const char *fmt, ...) __rte_format_printf(2, 3);
static void fail(char *answer, const char *fmt, ...)
{
	int n = snprintf(answer, ANSWER, "error: ");
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(answer + n, ANSWER - (size_t)n, fmt, ap);
	va_end(ap);
}

static struct fwd_run_port *find_port(struct fwd_run *run, const char *name)
{
	for (unsigned int i = 0; i < run->conf->nr_ports; i++)
		if (strcmp(run->ports[i].conf->name, name) == 0)
			return &run->ports[i];
	return NULL;
}

static struct fwd_run_tenant *find_tenant(struct fwd_run *run, const char *name)
{
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		if (strcmp(run->tenants[i].conf->name, name) == 0)
			return &run->tenants[i];
	return NULL;
}

/* What the words of a move command name. */
struct wanted {
	struct fwd_run_port *port;
	uint16_t queue;
	struct fwd_run_tenant *from, *to;
};

static bool find_all(struct fwd_run *run, const char *port, const char *queue, const char *tenant,
	struct wanted *want, char *answer)
{
	const struct fwd_group *g;
	unsigned long number;
	char *end;

	want->port = find_port(run, port);
	if (want->port == NULL) {
		fail(answer, "there is no port '%s'; 'queues' lists what there is", port);
		return false;
	}
	number = strtoul(queue, &end, 10);
	if (*queue < '0' || *queue > '9' || *end != '\0' || number >= want->port->conf->queues) {
		fail(answer, "port %s has no queue '%s'; it has %ju, from 0", port, queue,
			(uintmax_t)want->port->conf->queues);
		return false;
	}
	want->queue = (uint16_t)number;
	want->to = find_tenant(run, tenant);
	if (want->to == NULL) {
		fail(answer, "there is no tenant '%s'; 'queues' lists what there is", tenant);
		return false;
	}
	g = fwd_group_of(run, want->port->id, want->queue);
	want->from = g->tenant; /* every queue has a tenant: fwd_check_queues.c */
	if (want->from == want->to) {
		fail(answer, "queue %s of port %s is tenant %s's already", queue, port, tenant);
		return false;
	}
	return true;
}

/* Does the tenant have a queue of the port other than `but`? */
static bool is_on(const struct fwd_run_tenant *t, uint16_t port, uint16_t but)
{
	for (unsigned int i = 0; i < t->nr_groups; i++)
		for (unsigned int k = 0; k < t->groups[i].nr_ports; k++)
			if (t->groups[i].at[k].port == port && t->groups[i].at[k].queue != but)
				return true;
	return false;
}

/* Would steering still tell the port's tenants apart, if the queue were `to`'s? Compare
 * check_match() in fwd_check_queues.c. */
static bool check_match(struct fwd_run *run, const struct wanted *want, char *answer)
{
	const struct fwd_match *b = &want->to->conf->match;

	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		const struct fwd_run_tenant *t = &run->tenants[i];
		const struct fwd_match *a = &t->conf->match;

		if (t == want->to || !is_on(t, want->port->id, want->queue))
			continue;
		if (memcmp(a, b, sizeof(*a)) == 0) {
			fail(answer,
				"tenants %s and %s would share port %s, and %s; give one of them a 'match' of "
				"its own",
				t->conf->name, want->to->conf->name, want->port->conf->name,
				a->mac || a->vlan ? "have the same 'match'"
						  : "neither has a 'match'");
			return false;
		}
	}
	return true;
}

static bool check_move(struct fwd_run *run, const struct wanted *want, char *answer)
{
	const struct fwd_port *port = want->port->conf;

	if (port->device != NULL) {
		fail(answer, "port %s is a PCI device, whose queues are one requester", port->name);
		return false;
	}
	if (port->requesters == FWD_REQUESTER_PORT && port->queues > 1) {
		fail(answer,
			"the queues of port %s are one requester, so they belong to one tenant; write "
			"'requesters = queue' or 'requesters = pasid' in the file",
			port->name);
		return false;
	}
	if (want->to->conf->unit != port->unit) {
		fail(answer, "port %s is behind unit %s, and tenant %s is not", port->name,
			port->unit->name, want->to->conf->name);
		return false;
	}
	if (want->from->table != NULL || want->to->table != NULL) {
		fail(answer, "tenant %s has forward = l2, and a bridge's ports do not change",
			(want->from->table != NULL ? want->from : want->to)->conf->name);
		return false;
	}
	if (run->conf->idle == FWD_IDLE_POSTED) {
		fail(answer, "with idle = posted no queue moves, because each has an interrupt");
		return false;
	}
	if (run->args->attack) {
		fail(answer, "with --attack no queue moves");
		return false;
	}
	return check_match(run, want, answer);
}

static void do_move(struct fwd_run *run, const char *port, const char *queue, const char *tenant,
	char *answer)
{
	double us = 1e6 / (double)rte_get_tsc_hz();
	struct wanted want = { .port = NULL };
	struct fwd_move move;

	if (!find_all(run, port, queue, tenant, &want, answer) || !check_move(run, &want, answer))
		return;
	move = (struct fwd_move){ .port = want.port->id, .queue = want.queue, .to = want.to };
	if (fwd_move(run, want.port, &move) != 0) {
		fail(answer, "%s", move.why);
		return;
	}
	snprintf(answer, ANSWER, "ok gap_us=%.1f delivered=%" PRIu32, (double)move.gap * us,
		move.delivered);
	fwd_report_line(
		"queue %s of port %s has moved from tenant %s to tenant %s; %.1f us without frames",
		queue, port, want.from->conf->name, tenant, (double)move.gap * us);
}

/* "ok p0:0=red p0:1=blue" */
static void do_queues(struct fwd_run *run, char *answer)
{
	size_t n = (size_t)snprintf(answer, ANSWER, "ok");

	for (unsigned int i = 0; i < run->conf->nr_ports; i++) {
		const struct fwd_run_port *port = &run->ports[i];

		for (uint16_t q = 0; q < port->conf->queues && n < ANSWER - 64; q++)
			n += (size_t)snprintf(answer + n, ANSWER - n, " %s:%u=%s", port->conf->name,
				q, fwd_group_of(run, port->id, q)->tenant->conf->name);
	}
}

static void do_line(struct fwd_run *run, char *line, char *answer)
{
	char *save = NULL, *word[5];
	unsigned int n = 0;

	for (char *at = line; n < RTE_DIM(word); at = NULL)
		if ((word[n] = strtok_r(at, " \t\r", &save)) != NULL)
			n++;
		else
			break;
	if (n == 4 && strcmp(word[0], "move") == 0)
		do_move(run, word[1], word[2], word[3], answer);
	else if (n == 1 && strcmp(word[0], "queues") == 0)
		do_queues(run, answer);
	else
		fail(answer,
			"'%s' is not a command; the commands are: move PORT QUEUE TENANT, and queues",
			n != 0 ? word[0] : "");
}

/* ---------------------------------------------------------------------------------- clients */

static void client_end(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

static void client_accept(void)
{
	int fd = accept4(control.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	for (unsigned int i = 0; i < CLIENTS && fd >= 0; i++) {
		if (control.clients[i].fd >= 0)
			continue;
		control.clients[i] = (struct client){ .fd = fd };
		return;
	}
	if (fd >= 0)
		close(fd); /* too many */
}

static void client_answer(struct fwd_run *run, struct client *c)
{
	static char answer[ANSWER + 1]; /* only the main thread answers */
	size_t n;

	do_line(run, c->line, answer);
	n = strlen(answer);
	answer[n++] = '\n';
	if (send(c->fd, answer, n, MSG_NOSIGNAL) != (ssize_t)n)
		client_end(c); /* the client does not read */
}

/* Answer each line that has come from a client. */
static void client_poll(struct fwd_run *run, struct client *c)
{
	ssize_t got = recv(c->fd, c->line + c->n, sizeof(c->line) - c->n, 0);
	char *end;

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		client_end(c);
	if (got <= 0)
		return;
	c->n += (size_t)got;
	while (c->fd >= 0 && (end = memchr(c->line, '\n', c->n)) != NULL) {
		size_t len = (size_t)(end - c->line) + 1;

		*end = '\0';
		client_answer(run, c);
		c->n -= len;
		memmove(c->line, c->line + len, c->n);
	}
	if (c->n == sizeof(c->line))
		client_end(c); /* the line is longer than any command */
}

void fwd_control_poll(struct fwd_run *run)
{
	if (control.fd < 0)
		return;
	client_accept();
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (control.clients[i].fd >= 0)
			client_poll(run, &control.clients[i]);
}

/* ----------------------------------------------------------------------------- begin and end */

/* Is it a socket on which no process listens, left over from a process that was killed? */
static bool is_left_over(const struct sockaddr_un *at)
{
	struct stat st;
	int fd, rc;

	if (lstat(at->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = connect(fd, (const struct sockaddr *)at, sizeof(*at));
	rc = rc != 0 ? errno : 0;
	close(fd);
	return rc == ECONNREFUSED;
}

/* Bind the socket; its file has mode 0600 from the first moment. */
static int bind_private(int fd, const struct sockaddr_un *at)
{
	mode_t mask = umask(0177);
	int rc = bind(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ? 0 : -errno;

	umask(mask);
	return rc;
}

int fwd_control_check(const char *path)
{
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	const char *slash = strrchr(path, '/');
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";
	struct stat st;

	if (strlen(path) > most)
		return moat_error(-ENAMETOOLONG, "the path has %zu bytes; %zu are the most",
			strlen(path), most);
	if (slash != NULL) /* "/x" has folder "/" */
		snprintf(folder, sizeof(folder), "%.*s", RTE_MAX((int)(slash - path), 1), path);
	if (access(folder, W_OK | X_OK) != 0)
		return moat_error(-errno,
			"no socket can be made in folder %s: %s; make that folder, or name another path",
			folder, strerror(errno));
	if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		return moat_error(-EEXIST,
			"the file there is not a socket; name another path, or remove the file");
	return 0;
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(at.sun_path))
		return moat_error(-ENAMETOOLONG,
			"control = %s: the path has %zu bytes; %zu are the most", path,
			strlen(path), sizeof(at.sun_path) - 1);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return moat_error(-errno, "control = %s: no socket: %s", path, strerror(errno));
	rc = bind_private(fd, &at);
	if (rc == -EADDRINUSE && is_left_over(&at) && unlink(path) == 0)
		rc = bind_private(fd, &at);
	if (rc == 0 && listen(fd, CLIENTS) != 0)
		rc = -errno;
	if (rc == 0) {
		control.fd = fd;
		memcpy(control.path, at.sun_path, sizeof(control.path));
		return 0;
	}
	close(fd);
	if (rc == -EADDRINUSE)
		return moat_error(rc,
			"control = %s: another process listens there, or the file is not a socket; name "
			"another path, or remove the file",
			path);
	return moat_error(rc, "control = %s: cannot listen there: %s", path, strerror(-rc));
}

int fwd_control_begin(struct fwd_run *run)
{
	const char *path = run->args->control != NULL ? run->args->control : run->conf->control;

	for (unsigned int i = 0; i < CLIENTS; i++)
		control.clients[i].fd = -1;
	return path != NULL ? listen_at(path) : 0;
}

void fwd_control_end(void)
{
	if (control.fd < 0)
		return;
	unlink(control.path);
	close(control.fd);
	control.fd = -1;
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (control.clients[i].fd >= 0)
			client_end(&control.clients[i]);
}
