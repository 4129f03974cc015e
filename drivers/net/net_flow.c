/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <stdlib.h>

#include "net_port.h"

/*
 * rte_flow: pattern [ETH] [VLAN] END with the destination address and the VLAN id, all bits or
 * none; action QUEUE or DROP, and COUNT. Ingress, group 0, priorities 0 (first) to PRIORITY_MAX; at
 * equal priority the more exact match wins.
 */
#define PRIORITY_MAX 15

static int bad(struct rte_flow_error *error, int rc, enum rte_flow_error_type type,
	const void *cause, const char *message)
{
	return rte_flow_error_set(error, -rc, type, cause, message);
}

/* ------------------------------------------------------------------------------------ pattern */

static bool is_zero(const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	while (n != 0 && b[n - 1] == 0)
		n--;
	return n == 0;
}

static int parse_eth(const struct rte_flow_item *item, struct net_rule *rule,
	struct rte_flow_error *error)
{
	const struct rte_flow_item_eth *spec = item->spec;
	const struct rte_flow_item_eth *mask =
		item->mask != NULL ? item->mask : &rte_flow_item_eth_mask;
	const struct rte_ether_addr *bits = &mask->hdr.dst_addr;

	if (spec == NULL)
		return 0;
	/* The default mask covers the source address, too; a rule whose source address is 0 does
	 * not match by source address. */
	if (!is_zero(&mask->hdr.src_addr, sizeof(mask->hdr.src_addr)) &&
		(item->mask != NULL || !is_zero(&spec->hdr.src_addr, sizeof(spec->hdr.src_addr))))
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"source addresses are not matched; leave src out of the mask");
	if (mask->hdr.ether_type != 0)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"EtherTypes are not matched; leave type out of the mask");
	if (mask->has_vlan)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"has_vlan is not matched; add a vlan item");
	if (rte_is_zero_ether_addr(bits))
		return 0;
	if (!rte_is_broadcast_ether_addr(bits))
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"an address is matched whole; make the mask of dst ff:ff:ff:ff:ff:ff");
	rule->mac = net_mac(&spec->hdr.dst_addr);
	if (rule->mac == 0)
		return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_SPEC, item,
			"00:00:00:00:00:00 is not an address");
	return 0;
}

static int parse_vlan(const struct rte_flow_item *item, struct net_rule *rule,
	struct rte_flow_error *error)
{
	const struct rte_flow_item_vlan *spec = item->spec;
	const struct rte_flow_item_vlan *mask =
		item->mask != NULL ? item->mask : &rte_flow_item_vlan_mask;
	uint16_t bits = rte_be_to_cpu_16(mask->hdr.vlan_tci);

	if (spec == NULL || (bits & 0xfff) != 0xfff)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"a VLAN id is matched whole; give vid, and a mask with all 12 bits");
	if (bits & 0xf000)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"priority and DEI of a VLAN tag are not matched; mask with 0x0fff");
	if (mask->hdr.eth_proto != 0 || mask->has_more_vlan)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_MASK, item,
			"what follows the VLAN tag is not matched; leave it out of the mask");
	rule->vlan = rte_be_to_cpu_16(spec->hdr.vlan_tci) & 0xfff;
	return 0;
}

static int parse_pattern(const struct rte_flow_item *item, struct net_rule *rule,
	struct rte_flow_error *error)
{
	bool eth = false, vlan = false;

	rule->mac = 0;
	rule->vlan = NET_VLAN_ANY;
	if (item == NULL)
		return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ITEM_NUM, NULL, "no pattern");
	for (; item->type != RTE_FLOW_ITEM_TYPE_END; item++) {
		int rc;

		if (item->type == RTE_FLOW_ITEM_TYPE_VOID)
			continue;
		if (item->last != NULL)
			return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM_LAST, item,
				"ranges are not matched; give spec and mask");
		if (item->type == RTE_FLOW_ITEM_TYPE_ETH && !eth && !vlan) {
			eth = true;
			rc = parse_eth(item, rule, error);
		} else if (item->type == RTE_FLOW_ITEM_TYPE_VLAN && !vlan) {
			vlan = true;
			rc = parse_vlan(item, rule, error);
		} else {
			rc = bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ITEM, item,
				"a pattern is eth, vlan, or eth / vlan");
		}
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* ------------------------------------------------------------------------------------ actions */

static int parse_actions(const struct rte_eth_dev *dev, const struct rte_flow_action *action,
	struct net_rule *rule, struct rte_flow_error *error)
{
	bool fate = false;

	rule->count = false;
	if (action == NULL)
		return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_NUM, NULL, "no actions");
	for (; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
		const struct rte_flow_action_queue *queue = action->conf;

		switch (action->type) {
		case RTE_FLOW_ACTION_TYPE_VOID:
			continue;
		case RTE_FLOW_ACTION_TYPE_COUNT:
			rule->count = true;
			continue;
		case RTE_FLOW_ACTION_TYPE_QUEUE:
			if (queue == NULL || queue->index >= dev->data->nb_rx_queues)
				return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ACTION_CONF, action,
					"the port has no such receive queue");
			rule->queue = queue->index;
			break;
		case RTE_FLOW_ACTION_TYPE_DROP:
			rule->queue = NET_QUEUE_DROP;
			break;
		default:
			return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION, action,
				"actions are queue, drop, and count");
		}
		if (fate)
			return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ACTION, action,
				"a rule has one destination; give queue or drop once");
		fate = true;
	}
	if (!fate)
		return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ACTION, NULL,
			"no destination; add the action queue or drop");
	return 0;
}

static int parse_attr(const struct rte_flow_attr *attr, struct net_rule *rule,
	struct rte_flow_error *error)
{
	if (attr == NULL)
		return bad(error, -EINVAL, RTE_FLOW_ERROR_TYPE_ATTR, NULL, "no attributes");
	if (attr->transfer)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_TRANSFER, attr,
			"transfer rules are not supported; leave transfer out");
	if (attr->egress || !attr->ingress)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_EGRESS, attr,
			"only received frames are steered; make the rule ingress");
	if (attr->group != 0)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_GROUP, attr,
			"there is one group, 0");
	if (attr->priority > PRIORITY_MAX)
		return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ATTR_PRIORITY, attr,
			"priorities are 0 (first) to 15");
	rule->priority = attr->priority;
	return 0;
}

static struct rte_flow *find_same(const struct net_port *port, const struct net_rule *rule)
{
	struct rte_flow *flow;

	TAILQ_FOREACH (flow, &port->flows, next)
		if (flow->rule.mac == rule->mac && flow->rule.vlan == rule->vlan &&
			flow->rule.priority == rule->priority)
			return flow;
	return NULL;
}

static int parse(struct rte_eth_dev *dev, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	struct net_rule *rule, struct rte_flow_error *error)
{
	int rc;

	memset(rule, 0, sizeof(*rule));
	rc = parse_attr(attr, rule, error);
	if (rc == 0)
		rc = parse_pattern(pattern, rule, error);
	if (rc == 0)
		rc = parse_actions(dev, actions, rule, error);
	if (rc != 0)
		return rc;
	if (find_same(net_port(dev), rule) != NULL)
		return bad(error, -EEXIST, RTE_FLOW_ERROR_TYPE_HANDLE, NULL,
			"a rule with this match and priority exists; destroy it first");
	if (net_port(dev)->nr_flows == NET_RULES_MAX)
		return bad(error, -ENOSPC, RTE_FLOW_ERROR_TYPE_HANDLE, NULL,
			"the port has 1024 rules, the most it can; destroy one first");
	return 0;
}

/* ---------------------------------------------------------------------------------- operations */

/* Build the device's table from the port's list. */
static int rebuild(struct net_port *port)
{
	struct net_rule *rules[NET_RULES_MAX];
	struct rte_flow *flow;
	uint32_t n = 0;
	int rc;

	TAILQ_FOREACH (flow, &port->flows, next)
		rules[n++] = &flow->rule;
	net_device_filter_lock(&port->device);
	rc = net_filter_rules(&port->device.filter, rules, n);
	net_device_filter_unlock(&port->device);
	return rc;
}

static struct rte_flow *add(struct net_port *port, const struct net_rule *rule)
{
	struct rte_flow *flow = calloc(1, sizeof(*flow));

	if (flow == NULL)
		return NULL;
	flow->rule = *rule;
	TAILQ_INSERT_TAIL(&port->flows, flow, next);
	port->nr_flows++;
	if (rebuild(port) != 0) {
		TAILQ_REMOVE(&port->flows, flow, next);
		port->nr_flows--;
		free(flow);
		return NULL;
	}
	return flow;
}

static int flow_validate(struct rte_eth_dev *dev, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	struct rte_flow_error *error)
{
	struct net_rule rule;

	return parse(dev, attr, pattern, actions, &rule, error);
}

static struct rte_flow *flow_create(struct rte_eth_dev *dev, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	struct rte_flow_error *error)
{
	struct net_rule rule;
	struct rte_flow *flow;

	if (parse(dev, attr, pattern, actions, &rule, error) != 0)
		return NULL;
	flow = add(net_port(dev), &rule);
	if (flow == NULL)
		bad(error, -ENOMEM, RTE_FLOW_ERROR_TYPE_HANDLE, NULL, "out of memory");
	return flow;
}

static int flow_destroy(struct rte_eth_dev *dev, struct rte_flow *flow,
	struct rte_flow_error *error)
{
	struct net_port *port = net_port(dev);
	struct rte_flow *known;

	TAILQ_FOREACH (known, &port->flows, next)
		if (known == flow)
			break;
	if (known == NULL || known->from_args)
		return bad(error, -ENOENT, RTE_FLOW_ERROR_TYPE_HANDLE, flow, "no such rule");
	TAILQ_REMOVE(&port->flows, flow, next);
	if (rebuild(port) != 0) {
		TAILQ_INSERT_TAIL(&port->flows, flow, next);
		return bad(error, -ENOMEM, RTE_FLOW_ERROR_TYPE_HANDLE, flow, "out of memory");
	}
	port->nr_flows--;
	free(flow);
	return 0;
}

static int flow_flush(struct rte_eth_dev *dev, struct rte_flow_error *error)
{
	struct net_port *port = net_port(dev);
	struct rte_flow *flow, *next;

	for (flow = TAILQ_FIRST(&port->flows); flow != NULL; flow = next) {
		next = TAILQ_NEXT(flow, next);
		if (!flow->from_args && flow_destroy(dev, flow, error) != 0)
			return -rte_errno;
	}
	return 0;
}

static int flow_query(struct rte_eth_dev *dev, struct rte_flow *flow,
	const struct rte_flow_action *action, void *data, struct rte_flow_error *error)
{
	struct rte_flow_query_count *count = data;

	for (; action->type != RTE_FLOW_ACTION_TYPE_END; action++) {
		if (action->type == RTE_FLOW_ACTION_TYPE_VOID)
			continue;
		if (action->type != RTE_FLOW_ACTION_TYPE_COUNT || !flow->rule.count)
			return bad(error, -ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION, action,
				"only the action count can be queried, and only of a rule that has it");
		/* Relaxed: only sums. */
		count->hits_set = 1;
		count->bytes_set = 1;
		count->hits = __atomic_load_n(&flow->rule.hits, __ATOMIC_RELAXED);
		count->bytes = __atomic_load_n(&flow->rule.bytes, __ATOMIC_RELAXED);
		if (count->reset) {
			__atomic_fetch_sub(&flow->rule.hits, count->hits, __ATOMIC_RELAXED);
			__atomic_fetch_sub(&flow->rule.bytes, count->bytes, __ATOMIC_RELAXED);
		}
	}
	return 0;
}

static const struct rte_flow_ops flow_ops = {
	.validate = flow_validate,
	.create = flow_create,
	.destroy = flow_destroy,
	.flush = flow_flush,
	.query = flow_query,
};

int net_flow_ops(struct rte_eth_dev *dev, const struct rte_flow_ops **ops)
{
	*ops = &flow_ops;
	return 0;
}

/* Add the rules of `steer=`, whose priority is below all of rte_flow's. */
int net_flow_init(struct net_port *port)
{
	TAILQ_INIT(&port->flows);
	for (uint16_t i = 0; i < port->args.nr_steer; i++) {
		const struct net_steer *steer = &port->args.steer[i];
		struct net_rule rule = {
			.mac = steer->mac,
			.vlan = steer->vlan,
			.queue = steer->queue,
			.priority = PRIORITY_MAX + 1,
		};
		struct rte_flow *flow;

		if (find_same(port, &rule) != NULL)
			return moat_error(-EINVAL,
				"%s: two steer= with the same match; leave one out",
				port->data->name);
		flow = add(port, &rule);
		if (flow == NULL)
			return moat_error(-ENOMEM, "%s: out of memory", port->data->name);
		flow->from_args = true;
	}
	return 0;
}

void net_flow_free(struct net_port *port)
{
	struct rte_flow *flow;

	net_filter_free(&port->device.filter);
	while ((flow = TAILQ_FIRST(&port->flows)) != NULL) {
		TAILQ_REMOVE(&port->flows, flow, next);
		free(flow);
	}
	port->nr_flows = 0;
}
