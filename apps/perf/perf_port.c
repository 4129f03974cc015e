/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* A tenant with a NIC in software: net_moat, whose frames come from net_null. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>

#include "moat_net.h"
#include "perf_work.h"

static int add_vdev(const char *name, const char *args)
{
	int rc = rte_eal_hotplug_add("vdev", name, args);

	return rc == 0 ? 0
		       : moat_error(rc, "device '%s,%s' cannot be made: %s", name, args,
				 rte_strerror(-rc));
}

static int add_devices(struct perf_port *port, const struct perf_work *w)
{
	moat_sid_t sid = MOAT_SID(0x20, w->index, 0);
	char args[192];
	int rc;

	snprintf(port->backing, sizeof(port->backing), "net_null_perf%u", w->index);
	snprintf(args, sizeof(args), "size=%" PRIu64, w->c->frame);
	rc = add_vdev(port->backing, args);
	port->backing_attached = rc == 0;
	if (rc != 0)
		return rc;
	snprintf(port->device, sizeof(port->device), "net_moat_perf%u", w->index);
	snprintf(args, sizeof(args), "port=%s,unit=%s,sid=" MOAT_SID_FMT, port->backing,
		w->unit->name, MOAT_SID_ARGS(sid));
	rc = add_vdev(port->device, args);
	port->attached = rc == 0;
	if (rc == 0 && rte_eth_dev_get_port_by_name(port->device, &port->id) != 0)
		rc = moat_error(-ENODEV, "device '%s' was made, but is not an ethdev",
			port->device);
	return rc;
}

static int make_tenant(struct perf_port *port, const struct perf_work *w)
{
	uint64_t buffers = w->c->working_set / perf_room(w->c);
	struct moat_tenant_conf conf = {
		.unit = w->unit,
		.mode = w->c->mode,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
		.verify = w->c->verify ? 1 : MOAT_VERIFY_OFF,
		/* an eighth of it is for the rings */
		.memory = w->c->working_set / 7 * 8 + 4 * MOAT_2M_SIZE,
	};
	char name[32];
	int rc;

	snprintf(name, sizeof(name), "perf%u", w->index);
	conf.name = name;
	rc = moat_tenant_create(&conf, &port->tenant);
	if (rc == 0)
		rc = moat_tenant_pool(port->tenant, name, (unsigned int)buffers,
			(uint16_t)perf_room(w->c), &port->pool);
	return rc;
}

static int set_up(struct perf_port *port, const struct perf_work *w)
{
	struct rte_eth_conf eth = { .rxmode.mtu = (uint32_t)RTE_MAX(w->c->frame, UINT64_C(1500)) };
	unsigned int socket = (unsigned int)moat_tenant_socket(port->tenant);
	const char *what = "configured";
	moat_sid_t sid;
	int rc = moat_net_queue_sid(port->id, 0, &sid);

	if (rc == 0)
		rc = moat_tenant_attach(port->tenant, sid);
	if (rc != 0)
		return rc;
	rc = rte_eth_dev_configure(port->id, 1, 1, &eth);
	if (rc == 0) {
		what = "given a receive queue";
		rc = rte_eth_rx_queue_setup(port->id, 0, PERF_DESCRIPTORS, socket, NULL,
			port->pool);
	}
	if (rc == 0) {
		what = "given a transmit queue";
		rc = rte_eth_tx_queue_setup(port->id, 0, PERF_DESCRIPTORS, socket, NULL);
	}
	if (rc == 0) {
		rc = moat_tenant_queue_add(port->tenant, port->id, 0);
		if (rc != 0)
			return rc;
		port->added = true;
		what = "started";
		rc = rte_eth_dev_start(port->id);
		port->started = rc == 0;
		/* net_null's frames do not carry the port's address */
		rte_eth_promiscuous_enable(port->id);
	}
	return rc == 0 ? 0
		       : moat_error(rc, "device '%s' cannot be %s: %s", port->device, what,
				 rte_strerror(-rc));
}

int perf_port_create(struct perf_port *port, const struct perf_work *w)
{
	int rc = make_tenant(port, w);

	if (rc == 0)
		rc = add_devices(port, w);
	return rc == 0 ? set_up(port, w) : rc;
}

int perf_port_destroy(struct perf_port *port)
{
	if (port->added)
		moat_tenant_queue_remove(port->tenant, port->id, 0);
	if (port->started)
		rte_eth_dev_stop(port->id);
	if (port->attached) {
		rte_eth_dev_close(port->id);
		rte_eal_hotplug_remove("vdev", port->device);
	}
	if (port->backing_attached)
		rte_eal_hotplug_remove("vdev", port->backing);
	return port->tenant != NULL ? moat_tenant_destroy(port->tenant) : 0;
}
