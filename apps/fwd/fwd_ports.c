/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Ports: the devices behind them, their queues in their tenants' memory, steering. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_flow.h>

#include "fwd.h"
#include "moat_net.h"
#include "moat_device.h"

struct fwd_run_port *fwd_run_port(struct fwd_run *run, const struct fwd_port *conf)
{
	return &run->ports[conf - run->conf->ports];
}

/* ----------------------------------------------------------------------- making the devices */

/* A virtual device of ours, gone again with its ethdev. */
static int add_vdev(const struct fwd_port *conf, const char *name, const char *args)
{
	int rc = rte_eal_hotplug_add("vdev", name, args);

	if (rc != 0)
		return moat_error(rc,
			"port %s: device '%s,%s' cannot be made: its driver refuses (%s); the EAL option "
			"'--log-level=pmd:debug', before '--', may tell more",
			conf->name, name, args,
			rc == -1 ? "without a reason" : rte_strerror(rc < 0 ? -rc : rc));
	return 0;
}

/* "net_af_packet,iface=eth1" -> device net_af_packet_p0 with "iface=eth1" */
static int attach_backing(struct fwd_run_port *port)
{
	const struct fwd_port *conf = port->conf;
	const char *args = strchr(conf->backing, ',');
	int driver = args != NULL ? (int)(args - conf->backing) : (int)strlen(conf->backing);
	int rc;

	snprintf(port->backing, sizeof(port->backing), "%.*s_%s", driver, conf->backing,
		conf->name);
	rc = add_vdev(conf, port->backing, args != NULL ? args + 1 : "");
	port->backing_attached = rc == 0;
	return rc;
}

static int attach_net_moat(struct fwd_run_port *port)
{
	static const char *const words[] = { [FWD_REQUESTER_PORT] = "port",
		[FWD_REQUESTER_QUEUE] = "queue",
		[FWD_REQUESTER_PASID] = "pasid" };
	const struct fwd_port *conf = port->conf;
	char args[256];

	snprintf(port->device, sizeof(port->device), "net_moat_%s", conf->name);
	snprintf(args, sizeof(args), "port=%s,queues=%u,unit=%s,sid=" MOAT_SID_FMT ",requesters=%s",
		port->backing, (unsigned int)conf->queues, conf->unit->name,
		MOAT_SID_ARGS((moat_sid_t)conf->requester), words[conf->requesters]);
	return add_vdev(conf, port->device, args);
}

/* Queues of one function are one requester's, and so one tenant's. */
static struct moat_tenant *owner(struct fwd_run *run, const struct fwd_port *port)
{
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		for (unsigned int k = 0; k < run->tenants[i].conf->nr_queues; k++)
			if (run->tenants[i].conf->queues[k].port == port)
				return run->tenants[i].tenant;
	return NULL; /* not in a configuration that was checked */
}

/* The function itself. Its requester is in its tenant's domain by now, so that what a PMD has the
 * device do while probing reaches the tenant's memory and nothing else. */
static int attach_pci(struct fwd_run *run, struct fwd_run_port *port)
{
	const struct fwd_port *conf = port->conf;
	moat_sid_t sid = (moat_sid_t)conf->requester;
	int rc;

	snprintf(port->device, sizeof(port->device), "%04x:" MOAT_SID_FMT, conf->segment,
		MOAT_SID_ARGS(sid));
	rc = moat_tenant_probe(owner(run, conf), port->device);
	if (rc != 0)
		return moat_error(rc,
			"port %s: no driver of DPDK's takes device '%s' (%s); is it a NIC, bound to "
			"vfio-pci or uio_pci_generic? 'dpdk-devbind.py --status' tells",
			conf->name, port->device, rte_strerror(-rc));
	return 0;
}

int fwd_port_attach(struct fwd_run *run, struct fwd_run_port *port)
{
	const struct fwd_port *conf = port->conf;
	int rc;

	if (conf->device != NULL) {
		rc = attach_pci(run, port);
	} else {
		rc = attach_backing(port);
		if (rc == 0)
			rc = attach_net_moat(port);
	}
	if (rc != 0)
		return rc;
	port->attached = true;
	if (rte_eth_dev_get_port_by_name(port->device, &port->id) != 0)
		return moat_error(-ENODEV, "port %s: device '%s' is no NIC to DPDK", conf->name,
			port->device);
	return 0;
}

void fwd_port_detach(struct fwd_run_port *port)
{
	if (port->attached)
		rte_eal_hotplug_remove(port->conf->device == NULL ? "vdev" : "pci", port->device);
	port->attached = false;
	if (port->backing_attached)
		rte_eal_hotplug_remove("vdev", port->backing);
	port->backing_attached = false;
}

int fwd_port_queue_sid(const struct fwd_run_port *port, uint16_t queue, moat_sid_t *sid,
	uint32_t *pasid)
{
	int rc;

	if (port->conf->device == NULL) {
		rc = moat_net_queue_sid(port->id, queue, sid);
		return rc != 0 ? rc : moat_net_queue_pasid(port->id, queue, pasid);
	}
	*sid = (moat_sid_t)port->conf->requester;
	*pasid = MOAT_PASID_NONE;
	return 0;
}

/* -------------------------------------------------------------------------------- starting */

static int configure(struct fwd_run_port *port)
{
	const struct fwd_port *conf = port->conf;
	uint16_t queues = (uint16_t)conf->queues;
	struct rte_eth_conf eth = { .rxmode.mtu = (uint32_t)conf->mtu };
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(port->id, &info);

	if (rc != 0)
		return moat_error(rc, "port %s tells nothing of itself: %s", conf->name,
			rte_strerror(-rc));
	if (queues > info.max_rx_queues || queues > info.max_tx_queues)
		return moat_error(-EINVAL,
			"port %s: device '%s' has %u queues and 'queues' asks for %u", conf->name,
			port->device, RTE_MIN(info.max_rx_queues, info.max_tx_queues), queues);
	if (queues > 1 && info.flow_type_rss_offloads != 0) { /* spread what is not steered */
		eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		eth.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) &
			info.flow_type_rss_offloads;
	}
	rc = rte_eth_dev_configure(port->id, queues, queues, &eth);
	if (rc != 0)
		return moat_error(rc,
			"port %s: device '%s' does not take %u queues and an mtu of %ju: %s",
			conf->name, port->device, queues, (uintmax_t)conf->mtu, rte_strerror(-rc));
	return 0;
}

/* A queue's rings and buffers are its tenant's memory. */
static int set_up_queue(struct fwd_run_port *port, uint16_t queue, const struct fwd_run_tenant *t)
{
	const struct fwd_port *conf = port->conf;
	unsigned int socket = (unsigned int)moat_tenant_socket(t->tenant);
	int rc = rte_eth_rx_queue_setup(port->id, queue, (uint16_t)conf->rx_descriptors, socket,
		NULL, t->pool);

	if (rc != 0)
		return moat_error(rc,
			"port %s: receive queue %u of %ju descriptors cannot be set up: %s",
			conf->name, queue, (uintmax_t)conf->rx_descriptors, rte_strerror(-rc));
	rc = rte_eth_tx_queue_setup(port->id, queue, (uint16_t)conf->tx_descriptors, socket, NULL);
	if (rc != 0)
		return moat_error(rc,
			"port %s: transmit queue %u of %ju descriptors cannot be set up: %s",
			conf->name, queue, (uintmax_t)conf->tx_descriptors, rte_strerror(-rc));
	return 0;
}

/* One rule: packets of `pattern` go to `queue`, or (DROP) nowhere. */
#define DROP UINT16_MAX
static int add_rule(struct fwd_run_port *port, uint32_t priority,
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

	if (rte_flow_create(port->id, &attr, pattern, actions, &error) != NULL)
		return 0;
	return moat_error(-rte_errno, "port %s does not steer %s to where it belongs: %s",
		port->conf->name, what,
		error.message != NULL ? error.message : rte_strerror(rte_errno));
}

/* What a tenant's `match` says goes to its queue. */
static int steer(struct fwd_run_port *port, uint16_t queue, const struct fwd_tenant *t)
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
	return add_rule(port, 0, pattern, queue, app_ini_entry(t->section, "match")->value);
}

/* Have several tenants queues of the port? On a port of its own a tenant gets all that comes, match
 * or not. */
static bool is_shared(const struct fwd_run *run, const struct fwd_run_port *port)
{
	unsigned int tenants = 0;

	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		const struct fwd_tenant *t = run->tenants[i].conf;
		bool here = false;

		for (unsigned int k = 0; k < t->nr_queues; k++)
			here |= t->queues[k].port == port->conf;
		tenants += here;
	}
	return tenants > 1;
}

/* What matches nothing goes to the tenant without a match, or is dropped. Only a port with matches
 * needs the rule. */
static int steer_rest(struct fwd_run *run, struct fwd_run_port *port)
{
	const struct rte_flow_item pattern[] = {
		{ .type = RTE_FLOW_ITEM_TYPE_ETH },
		{ .type = RTE_FLOW_ITEM_TYPE_END },
	};
	const struct fwd_tenant *rest = NULL;
	uint16_t queue = DROP;
	bool any = false;

	for (unsigned int i = run->conf->nr_tenants; i-- != 0;) {
		const struct fwd_tenant *t = run->tenants[i].conf;
		bool match = t->match.mac || t->match.vlan;

		for (unsigned int k = t->nr_queues; k-- != 0;) {
			if (t->queues[k].port != port->conf)
				continue;
			any |= match && is_shared(run, port);
			if (!match) {
				queue = t->queues[k].queue;
				rest = t;
			}
		}
	}
	if (!any)
		return 0;
	if (queue == DROP)
		fwd_report_line(
			"port %s: frames that match no tenant are dropped; a tenant without a "
			"'match' on this port would get them",
			port->conf->name);
	else
		fwd_report_line("port %s: frames that match no other tenant go to tenant %s",
			port->conf->name, rest->name);
	return add_rule(port, 1, pattern, queue, "what matches nothing");
}

/* Set up, or steer to, every queue of the port. */
static int each_queue(struct fwd_run *run, struct fwd_run_port *port, bool flows)
{
	int rc = 0;

	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		const struct fwd_run_tenant *t = &run->tenants[i];

		for (unsigned int k = 0; k < t->conf->nr_queues && rc == 0; k++) {
			const struct fwd_queue *q = &t->conf->queues[k];

			if (q->port != port->conf)
				continue;
			if (!flows)
				rc = set_up_queue(port, q->queue, t);
			else if (is_shared(run, port) &&
				(t->conf->match.mac || t->conf->match.vlan))
				rc = steer(port, q->queue, t->conf);
		}
	}
	return rc;
}

int fwd_port_set_up(struct fwd_run *run, struct fwd_run_port *port)
{
	int rc = configure(port);

	return rc == 0 ? each_queue(run, port, false) : rc;
}

int fwd_port_start(struct fwd_run *run, struct fwd_run_port *port)
{
	int rc = rte_eth_dev_start(port->id);

	if (rc != 0)
		return moat_error(rc, "port %s: device '%s' does not start: %s", port->conf->name,
			port->device, rte_strerror(-rc));
	port->started = true;
	if (port->conf->promiscuous)
		rte_eth_promiscuous_enable(port->id); /* one that cannot receives what it can */
	rc = each_queue(run, port, true);
	return rc == 0 ? steer_rest(run, port) : rc;
}

void fwd_port_stop(struct fwd_run_port *port)
{
	if (port->started)
		rte_eth_dev_stop(port->id);
	port->started = false;
	/* Closing gives the rings and the buffers in them back to the tenants. */
	if (port->attached)
		rte_eth_dev_close(port->id);
}
