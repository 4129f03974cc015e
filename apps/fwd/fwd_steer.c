/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Steering on a port that tenants share: frames that a tenant's `match` names go to its first queue
 * there; the rest goes to the tenant without a match, or is dropped.
 *
 * When a queue moves, the rules change twice. Before the move, frames that must not reach the new
 * tenant are steered away from the queue, to their later targets. After the move, the new tenant's
 * frames are steered to the queue. A port has two sets of rules, of which one is in force. All
 * rules of the new set are made before the first of the old set is destroyed, in an order in which
 * each frame always meets a rule of one of the two.
 */

#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_flow.h>

#include "fwd.h"

#define DROP UINT16_MAX
#define NONE (UINT16_MAX - 1)

/* ------------------------------------------------------------------------------- one rule */

/* Make a rule by which frames of `pattern` go to `queue`, or are dropped (DROP). @return NULL:
 * moat_error_text() */
static struct rte_flow *add_rule(struct fwd_run_port *port, uint32_t priority,
	const struct rte_flow_item pattern[], uint16_t queue, const char *what)
{
	const struct rte_flow_attr attr = { .ingress = 1, .priority = priority };
	const struct rte_flow_action_queue to = { .index = queue };
	const struct rte_flow_action actions[] = {
		{ .type = queue == DROP ? RTE_FLOW_ACTION_TYPE_DROP : RTE_FLOW_ACTION_TYPE_QUEUE,
			.conf = queue == DROP ? NULL : &to },
		{ .type = RTE_FLOW_ACTION_TYPE_END },
	};
	struct rte_flow_error error = { .message = NULL };
	struct rte_flow *flow = rte_flow_create(port->id, &attr, pattern, actions, &error);

	if (flow == NULL)
		moat_error(-rte_errno, "port %s cannot steer %s: %s", port->conf->name, what,
			error.message != NULL ? error.message : rte_strerror(rte_errno));
	return flow;
}

/* Make the rule of a tenant's `match`. */
static struct rte_flow *add_match(struct fwd_run_port *port, uint32_t priority, uint16_t queue,
	const struct fwd_tenant *t)
{
	struct rte_flow_item_eth eth = { 0 };
	const struct rte_flow_item_vlan vlan = { .tci = rte_cpu_to_be_16(t->match.vid) };
	static const struct rte_flow_item_eth eth_mask = {
		.dst.addr_bytes = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
	};
	static const struct rte_flow_item_vlan vlan_mask = { .tci = RTE_BE16(0x0fff) };
	struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};

	memcpy(&eth.dst, t->match.addr, sizeof(t->match.addr));
	if (t->match.mac) {
		pattern[0].spec = &eth;
		pattern[0].mask = &eth_mask;
	} else {
		pattern[1] = (struct rte_flow_item){ .type = RTE_FLOW_ITEM_TYPE_VLAN,
			.spec = &vlan,
			.mask = &vlan_mask };
	}
	return add_rule(port, priority, pattern, queue, app_ini_entry(t->section, "match")->value);
}

static struct rte_flow *add_rest(struct fwd_run_port *port, uint32_t priority, uint16_t queue)
{
	const struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};

	return add_rule(port, priority, pattern, queue, "frames that match nothing");
}

/* ----------------------------------------------------------------------------- a set of rules */

static void rule_end(struct fwd_run_port *port, struct rte_flow **flow)
{
	struct rte_flow_error error;

	if (*flow != NULL)
		rte_flow_destroy(port->id, *flow, &error); /* net_moat fails only with -ENOMEM */
	*flow = NULL;
}

static void set_end(struct fwd_run_port *port, struct fwd_rules *set)
{
	rule_end(port, &set->rest); /* first: it may come before the other set's matches */
	for (unsigned int i = 0; i < FWD_TENANTS; i++)
		rule_end(port, &set->match[i]);
}

/* Replace the port's rules. @return 0, or a negative errno: the old rules are in force */
static int rules_change(struct fwd_run *run, struct fwd_run_port *port,
	const struct fwd_targets *want)
{
	unsigned int other = !port->rules_now;
	struct fwd_rules *set = &port->rules[other];
	bool ok = true;

	for (unsigned int i = 0; i < run->conf->nr_tenants && ok; i++)
		if (want->tenant[i] != NONE)
			ok = (set->match[i] = add_match(port, 2 * other, want->tenant[i],
				      run->tenants[i].conf)) != NULL;
	if (ok && want->rest != NONE)
		ok = (set->rest = add_rest(port, 2 * other + 1, want->rest)) != NULL;
	if (!ok) {
		set_end(port, set);
		return -EINVAL;
	}
	set_end(port, &port->rules[port->rules_now]);
	port->rules_now = other;
	port->targets = *want;
	return 0;
}

/* ------------------------------------------------------------------------------------- targets */

static bool has_match(const struct fwd_run_tenant *t)
{
	return t->conf->match.mac || t->conf->match.vlan;
}

/* Find the tenant's first queue on the port other than `but`. @return NONE: it has none */
static uint16_t first_queue(const struct fwd_run_tenant *t, uint16_t port, uint16_t but)
{
	for (unsigned int i = 0; i < t->nr_groups; i++)
		for (unsigned int k = 0; k < t->groups[i].nr_ports; k++)
			if (t->groups[i].at[k].port == port && t->groups[i].at[k].queue != but)
				return t->groups[i].at[k].queue;
	return NONE;
}

/*
 * Compute the targets of a port's frames for the present groups or, unless `queue` is NONE, as they
 * will be after that queue has moved to `to`. A tenant that has the port alone gets all its frames,
 * match or not. If a tenant no longer has a queue of the port, frames of its `match` are dropped.
 */
static void targets_of(struct fwd_run *run, struct fwd_run_port *port, uint16_t queue,
	const struct fwd_run_tenant *to, struct fwd_targets *want)
{
	unsigned int sharers = 0, matches = 0;

	*want = (struct fwd_targets){ .rest = DROP };
	for (unsigned int i = 0; i < FWD_TENANTS; i++)
		want->tenant[i] = NONE;
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		struct fwd_run_tenant *t = &run->tenants[i];
		uint16_t first = first_queue(t, port->id, queue);

		if (first == NONE && t == to)
			first = queue;
		port->had[i] |= first_queue(t, port->id, NONE) != NONE;
		if (!port->had[i] && first == NONE)
			continue;
		sharers++;
		matches += has_match(t);
		if (has_match(t))
			want->tenant[i] = first != NONE ? first : DROP;
		else if (first != NONE && want->rest == DROP)
			want->rest = first;
	}
	if (sharers > 1 && matches != 0)
		return;
	want->rest = NONE;
	for (unsigned int i = 0; i < FWD_TENANTS; i++)
		want->tenant[i] = NONE;
}

/* -------------------------------------------------------------------------------- the calls */

static void say_rest(const struct fwd_run *run, const struct fwd_run_port *port)
{
	const struct fwd_run_tenant *rest = NULL;

	for (unsigned int i = run->conf->nr_tenants; i-- != 0;)
		if (!has_match(&run->tenants[i]) &&
			first_queue(&run->tenants[i], port->id, NONE) != NONE)
			rest = &run->tenants[i];
	if (rest == NULL)
		fwd_report_line(
			"port %s: frames that match no tenant are dropped; a tenant without a "
			"'match' on this port would get them",
			port->conf->name);
	else
		fwd_report_line("port %s: frames that match no other tenant go to tenant %s",
			port->conf->name, rest->conf->name);
}

int fwd_steer_begin(struct fwd_run *run, struct fwd_run_port *port)
{
	struct fwd_targets want;

	port->rules_now = 1; /* the first rules are set 0, whose priorities every NIC has */
	targets_of(run, port, NONE, NULL, &want);
	if (want.rest != NONE)
		say_rest(run, port);
	return rules_change(run, port, &want);
}

int fwd_steer_away(struct fwd_run *run, struct fwd_run_port *port, uint16_t queue,
	const struct fwd_run_tenant *from, const struct fwd_run_tenant *to,
	struct fwd_targets *before)
{
	struct fwd_targets want;

	*before = port->targets;
	targets_of(run, port, queue, to, &want);
	if (want.rest == NONE && before->rest == NONE) /* the port has no rules, before or after */
		return 0;
	/* Frames that go to the queue only after the move are still steered as before. */
	for (unsigned int i = 0; i < FWD_TENANTS; i++)
		if (want.tenant[i] == queue && before->tenant[i] != queue)
			want.tenant[i] = before->tenant[i];
	if (want.rest == queue && before->rest != queue)
		want.rest =
			before->rest != NONE ? before->rest : first_queue(from, port->id, queue);
	return rules_change(run, port, &want);
}

int fwd_steer_to(struct fwd_run *run, struct fwd_run_port *port)
{
	struct fwd_targets want;

	targets_of(run, port, NONE, NULL, &want);
	return memcmp(&want, &port->targets, sizeof(want)) == 0 ? 0
								: rules_change(run, port, &want);
}

int fwd_steer_back(struct fwd_run *run, struct fwd_run_port *port, const struct fwd_targets *before)
{
	return memcmp(before, &port->targets, sizeof(*before)) == 0
		? 0
		: rules_change(run, port, before);
}
