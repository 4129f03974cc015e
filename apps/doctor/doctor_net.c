/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Interfaces of functions, and what the host uses them for. */

#include <stdlib.h>
#include <string.h>

#include "doctor_host.h"
#include "doctor_read.h"

static bool holds(const struct doctor_lines *lines, const char *text)
{
	for (unsigned int i = 0; i < lines->n; i++)
		if (strcmp(lines->at[i], text) == 0)
			return true;
	return false;
}

/* ---------------------------------------------------------------------------------- the routes */

/** Names of interfaces that routes go through. */
struct routes {
	struct doctor_lines by_default; /* interfaces with a default route, of IPv4 or IPv6 */
	struct doctor_lines any;        /* with any route: the host may be managed over them */
};

/** Read "eth0 00000000 0101A8C0 ...": destination 0 with mask 0 (field 8) is the default route. */
static void routes_ipv4(const struct doctor_host *h, struct routes *r)
{
	char *text, name[64];

	doctor_text(h->root, &text, "proc/net/route");
	for (const char *line = strchr(text, '\n'); line != NULL; line = strchr(line + 1, '\n')) {
		unsigned long destination, mask = 0;
		int n = sscanf(line, " %63s %lx %*x %*x %*d %*d %*d %lx", name, &destination,
			&mask);

		if (n >= 2)
			doctor_say(&r->any, "%s", name);
		if (n >= 2 && destination == 0 && mask == 0)
			doctor_say(&r->by_default, "%s", name);
	}
	free(text);
}

/** Read lines of destination, its prefix length, source, its prefix length, next hop, metric,
 * references, use, flags, name; numbers are hexadecimal. "lo" has a default route that rejects
 * packets; every interface that is up has routes to link-local and multicast addresses. */
static void routes_ipv6(const struct doctor_host *h, struct routes *r)
{
	char *text, *save, destination[64], name[64];

	doctor_text(h->root, &text, "proc/net/ipv6_route");
	for (char *line = strtok_r(text, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		unsigned int prefix;

		if (sscanf(line, "%63s %x %*s %*s %*s %*s %*s %*s %*s %63s", destination, &prefix,
			    name) != 3 ||
			strcmp(name, "lo") == 0)
			continue;
		if (destination[0] != 'f') /* fe80::/64, ff00::/8 */
			doctor_say(&r->any, "%s", name);
		if (prefix == 0 && strspn(destination, "0") == strlen(destination))
			doctor_say(&r->by_default, "%s", name);
	}
	free(text);
}

/* ---------------------------------------------------------------------- interfaces above others */

/** Add the interfaces directly above one: its master (bridge, bond, team) and its upper ones, such
 * as VLANs. */
static void uppers_of(const struct doctor_host *h, const char *folder, struct doctor_lines *above)
{
	struct doctor_lines names = { 0 };
	char master[256];

	doctor_read_folder(h->root, &names, "%s", folder);
	for (unsigned int i = 0; i < names.n; i++)
		if (strncmp(names.at[i], "upper_", 6) == 0 && !holds(above, names.at[i] + 6))
			doctor_say(above, "%s", names.at[i] + 6);
	doctor_lines_free(&names);
	if (doctor_read_link(h->root, master, sizeof(master), "%s/master", folder) == 0 &&
		master[0] != '\0' && !holds(above, master))
		doctor_say(above, "%s", master);
}

/** Find all interfaces that are built on one, directly or not. */
static void find_above(const struct doctor_host *h, const char *folder, struct doctor_lines *above)
{
	char *next;

	uppers_of(h, folder, above);
	for (unsigned int i = 0; i < above->n; i++) { /* the list grows meanwhile */
		next = doctor_format("sys/class/net/%s", above->at[i]);
		uppers_of(h, next, above);
		free(next);
		next = doctor_format("sys/devices/virtual/net/%s", above->at[i]);
		uppers_of(h, next, above);
		free(next);
	}
}

static void judge_use(const struct doctor_host *h, struct doctor_fn *fn, const char *folder,
	const char *net)
{
	struct doctor_lines above = { 0 };
	struct routes routes = { 0 };

	routes_ipv4(h, &routes);
	routes_ipv6(h, &routes);
	find_above(h, folder, &above);
	fn->routed |= holds(&routes.any, net);
	for (unsigned int i = 0; i < above.n; i++)
		fn->routed |= holds(&routes.any, above.at[i]);
	if (holds(&routes.by_default, net)) {
		fn->use = DOCTOR_USE_ROUTE;
		free(fn->user);
		fn->user = doctor_format("%s", net);
	}
	for (unsigned int i = 0; i < above.n && fn->use != DOCTOR_USE_ROUTE; i++)
		if (holds(&routes.by_default, above.at[i])) {
			fn->use = DOCTOR_USE_ROUTE;
			free(fn->user);
			fn->user = doctor_format("%s", above.at[i]);
		}
	if (above.n != 0 && fn->use == DOCTOR_USE_NONE) {
		fn->use = DOCTOR_USE_PART;
		fn->user = doctor_format("%s", above.at[0]);
	}
	doctor_lines_free(&routes.by_default);
	doctor_lines_free(&routes.any);
	doctor_lines_free(&above);
}

/* --------------------------------------------------------------------------------- one function */

/** Find a function's interfaces. @return their folder, net or virtioN/net; the caller's to free */
static char *find_nets(const struct doctor_host *h, struct doctor_fn *fn)
{
	char *folder = doctor_format("sys/bus/pci/devices/%s/net", fn->address);
	struct doctor_lines names = { 0 };

	if (doctor_read_folder(h->root, &fn->nets, "%s", folder) == 0)
		return folder;
	doctor_read_folder(h->root, &names, "sys/bus/pci/devices/%s", fn->address);
	for (unsigned int i = 0; i < names.n; i++)
		if (strncmp(names.at[i], "virtio", 6) == 0) {
			free(folder);
			folder = doctor_format("sys/bus/pci/devices/%s/%s/net", fn->address,
				names.at[i]);
		}
	doctor_lines_free(&names);
	doctor_read_folder(h->root, &fn->nets, "%s", folder);
	return folder;
}

static void net_read(const struct doctor_host *h, struct doctor_fn *fn, const char *folder,
	const char *net)
{
	char *path = doctor_format("%s/%s", folder, net), state[32];
	struct doctor_lines names = { 0 };

	doctor_read_folder(h->root, &names, "%s/queues", path);
	for (unsigned int i = 0; i < names.n; i++) {
		fn->rx_queues += strncmp(names.at[i], "rx-", 3) == 0;
		fn->tx_queues += strncmp(names.at[i], "tx-", 3) == 0;
	}
	doctor_lines_free(&names);
	/* Drivers without link state report "unknown" while packets flow. */
	doctor_read(h->root, state, sizeof(state), "%s/operstate", path);
	fn->up |= strcmp(state, "down") != 0 && strcmp(state, "notpresent") != 0;
	judge_use(h, fn, path, net);
	free(path);
}

void doctor_net_read(struct doctor_host *h, struct doctor_fn *fn)
{
	char *folder = find_nets(h, fn);

	for (unsigned int i = 0; i < fn->nets.n; i++)
		net_read(h, fn, folder, fn->nets.at[i]);
	fn->net = fn->nets.n != 0 ? fn->nets.at[0] : "";
	free(folder);
}
