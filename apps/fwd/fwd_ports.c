/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Ports: their devices, and their queues in tenants' memory. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>

#include "fwd.h"
#include "moat_net.h"
#include "moat_device.h"

struct fwd_run_port *fwd_run_port(struct fwd_run *run, const struct fwd_port *conf)
{
	return &run->ports[conf - run->conf->ports];
}

/* ----------------------------------------------------------------------- making the devices */

/* Make a virtual device; fwd_port_detach() removes it. */
static int add_vdev(const struct fwd_port *conf, const char *name, const char *args)
{
	int rc = rte_eal_hotplug_add("vdev", name, args);

	if (rc != 0)
		return moat_error(rc,
			"port %s: device '%s,%s' cannot be made: its driver refuses (%s); the EAL option "
			"'--log-level=pmd:debug', before '--', may show why",
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
	const struct fwd_port *conf = port->conf;
	char args[256];

	snprintf(port->device, sizeof(port->device), "net_moat_%s", conf->name);
	snprintf(args, sizeof(args), "port=%s,queues=%u,unit=%s,sid=" MOAT_SID_FMT ",requesters=%s",
		port->backing, (unsigned int)conf->queues, conf->unit->name,
		MOAT_SID_ARGS((moat_sid_t)conf->requester), fwd_requesters_words[conf->requesters]);
	return add_vdev(conf, port->device, args);
}

/* Find the tenant of a PCI device: all its queues are one requester, so they have one tenant. */
static struct moat_tenant *owner(struct fwd_run *run, const struct fwd_port *port)
{
	for (unsigned int i = 0; i < run->conf->nr_tenants; i++)
		for (unsigned int k = 0; k < run->tenants[i].conf->nr_queues; k++)
			if (run->tenants[i].conf->queues[k].port == port)
				return run->tenants[i].tenant;
	return NULL; /* impossible: fwd_conf_check() refuses a port without a tenant */
}

/* Probe a PCI device. Its requester is attached to the tenant's domain already, so that DMA during
 * the probe reaches the tenant's memory only. */
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
			"port %s: no driver of DPDK takes device '%s' (%s); is it a NIC, bound to "
			"vfio-pci or uio_pci_generic? 'dpdk-devbind.py --status' shows that",
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
		return moat_error(-ENODEV, "port %s: device '%s' is not a NIC to DPDK", conf->name,
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
		return moat_error(rc, "port %s does not report its capabilities: %s", conf->name,
			rte_strerror(-rc));
	if (queues > info.max_rx_queues || queues > info.max_tx_queues)
		return moat_error(-EINVAL,
			"port %s: 'queues' asks for %u, and device '%s' has %u at most", conf->name,
			queues, port->device, RTE_MIN(info.max_rx_queues, info.max_tx_queues));
	if (queues > 1 && info.flow_type_rss_offloads != 0) { /* for frames that are not steered */
		eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		eth.rx_adv_conf.rss_conf.rss_hf =
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP) &
			info.flow_type_rss_offloads;
	}
	rc = rte_eth_dev_configure(port->id, queues, queues, &eth);
	if (rc != 0)
		return moat_error(rc,
			"port %s: device '%s' does not take queues = %u and mtu = %ju: %s",
			conf->name, port->device, queues, (uintmax_t)conf->mtu, rte_strerror(-rc));
	return 0;
}

/* Set up a queue with rings and buffers in its tenant's memory. */
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

static int set_up_queues(struct fwd_run *run, struct fwd_run_port *port)
{
	int rc = 0;

	for (unsigned int i = 0; i < run->conf->nr_tenants; i++) {
		const struct fwd_run_tenant *t = &run->tenants[i];

		for (unsigned int k = 0; k < t->conf->nr_queues && rc == 0; k++)
			if (t->conf->queues[k].port == port->conf)
				rc = set_up_queue(port, t->conf->queues[k].queue, t);
	}
	return rc;
}

int fwd_port_set_up(struct fwd_run *run, struct fwd_run_port *port)
{
	int rc = configure(port);

	return rc == 0 ? set_up_queues(run, port) : rc;
}

int fwd_port_start(struct fwd_run *run, struct fwd_run_port *port)
{
	int rc = rte_eth_dev_start(port->id);

	if (rc != 0)
		return moat_error(rc, "port %s: device '%s' does not start: %s", port->conf->name,
			port->device, rte_strerror(-rc));
	port->started = true;
	if (port->conf->promiscuous)
		rte_eth_promiscuous_enable(port->id); /* a port without this mode works, too */
	return fwd_steer_begin(run, port);
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
