/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <pthread.h>

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "net_port.h"
#include "net_queue.h"

/* ------------------------------------------------------------------------------------ ownership */

static void list_ports(char *text, size_t len)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	size_t used = 0;
	uint64_t id;

	snprintf(text, len, "none");
	for (id = rte_eth_find_next(0); id < RTE_MAX_ETHPORTS; id = rte_eth_find_next(id + 1)) {
		if (rte_eth_dev_get_name_by_port(id, name) != 0 || used >= len)
			continue;
		used += snprintf(text + used, len - used, "%s%s", used != 0 ? ", " : "", name);
	}
}

/* Own the backing port, so that programs that go through all ports (testpmd) leave it alone. */
static int own(struct net_port *port, uint16_t backing)
{
	struct rte_eth_dev_owner owner = { 0 };
	struct rte_eth_dev_owner before;
	int rc = rte_eth_dev_owner_new(&owner.id);

	if (rc != 0)
		return moat_error(rc, "%s: no owner id: %s", port->data->name, rte_strerror(-rc));
	snprintf(owner.name, sizeof(owner.name), "%s", port->data->name);
	rc = rte_eth_dev_owner_set(backing, &owner);
	if (rc == 0) {
		port->owner = owner.id;
		port->device.backing = backing;
		port->device.gone = false;
		port->owns = true;
		return 0;
	}
	if (rte_eth_dev_owner_get(backing, &before) != 0)
		before.name[0] = '\0';
	return moat_error(rc,
		"%s: port=%s belongs to '%s'; a backing port serves one net_moat only",
		port->data->name, port->args.port, before.name);
}

int net_backing_find(struct net_port *port)
{
	char ports[256];
	uint16_t backing;

	if (strcmp(port->args.port, port->data->name) == 0)
		return moat_error(-EINVAL, "%s: port=%s names the port itself", port->data->name,
			port->args.port);
	if (rte_eth_dev_get_port_by_name(port->args.port, &backing) == 0)
		return own(port, backing);
	list_ports(ports, sizeof(ports));
	return moat_error(-ENODEV,
		"%s: port=%s: there is no such ethdev (there are: %s); "
		"name its --vdev before this one",
		port->data->name, port->args.port, ports);
}

/* Is the backing port still this port's? It is not once it was removed, even if another port now
 * has its number. */
bool net_backing_ours(const struct net_port *port)
{
	struct rte_eth_dev_owner owner;

	return port->owns && rte_eth_dev_is_valid_port(port->device.backing) &&
		rte_eth_dev_owner_get(port->device.backing, &owner) == 0 && owner.id == port->owner;
}

void net_backing_gone(struct net_port *port, uint16_t removed)
{
	if (!port->owns || port->device.backing != removed)
		return;
	NET_LOG(WARNING, "%s: the backing port '%s' is removed: nothing is sent or received",
		port->data->name, port->args.port);
	port->owns = false;
	__atomic_store_n(&port->device.gone, true, __ATOMIC_RELAXED);
}

void net_backing_release(struct net_port *port)
{
	if (net_backing_ours(port))
		rte_eth_dev_owner_unset(port->device.backing, port->owner);
	port->owns = false;
}

/* --------------------------------------------------------------------------- starting, stopping */

/* Pools of stopped devices whose frames a backing port still held (net_ring: until the other side
 * takes them). A pool is freed once its last frame is back. All net_moat ports share the list, and
 * several threads may stop ports at once. */
static struct rte_mempool *orphans[RTE_MAX_ETHPORTS];
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;

static void bury_orphans(void)
{
	pthread_mutex_lock(&orphans_lock);
	for (unsigned int i = 0; i < RTE_DIM(orphans); i++)
		if (orphans[i] != NULL && rte_mempool_full(orphans[i])) {
			rte_mempool_free(orphans[i]);
			orphans[i] = NULL;
		}
	pthread_mutex_unlock(&orphans_lock);
}

/* If the list is full the pool is never freed: its memory is lost, but nothing else is. */
static void adopt_orphan(struct rte_mempool *pool)
{
	unsigned int i = 0;

	pthread_mutex_lock(&orphans_lock);
	while (i < RTE_DIM(orphans) && orphans[i] != NULL)
		i++;
	if (i < RTE_DIM(orphans))
		orphans[i] = pool;
	pthread_mutex_unlock(&orphans_lock);
}

static void free_pool(struct net_port *port)
{
	struct rte_mempool *pool = port->device.pool;
	unsigned int held;

	bury_orphans();
	port->device.pool = NULL;
	if (pool == NULL)
		return;
	if (rte_mempool_full(pool)) {
		rte_mempool_free(pool);
		return;
	}
	held = rte_mempool_in_use_count(pool);
	NET_LOG(WARNING,
		"%s: the backing port '%s' still holds %u frame%s; the memory stays until %s back",
		port->data->name, port->args.port, held, held == 1 ? "" : "s",
		held == 1 ? "it is" : "they are");
	adopt_orphan(pool);
}

/* Make the device's packet memory, outside every tenant: one segment for each frame. */
static int make_pool(struct net_port *port, uint16_t nr_rx_desc, uint16_t nr_tx_desc)
{
	struct net_device *device = &port->device;
	unsigned int n = device->nr_wires_rx * nr_rx_desc + device->nr_wires_tx * nr_tx_desc +
		port->data->nb_rx_queues * (NET_FIFO_SIZE + NET_BURST) +
		port->data->nb_tx_queues * 2 * NET_BURST + 2 * NET_BURST * rte_lcore_count();
	unsigned int room = RTE_PKTMBUF_HEADROOM +
		RTE_MAX(port->data->mtu + NET_OVERHEAD, RTE_MBUF_DEFAULT_DATAROOM);
	char name[RTE_MEMPOOL_NAMESIZE];

	bury_orphans();
	snprintf(name, sizeof(name), "net_moat_%u_%u", port->data->port_id, port->starts++);
	device->pool =
		rte_pktmbuf_pool_create(name, n, RTE_MIN(64u, n / 2), 0, room, SOCKET_ID_ANY);
	if (device->pool == NULL)
		return moat_error(-ENOMEM,
			"%s: no memory for the device's %u frames of %u bytes (%s); "
			"give EAL more, or use fewer queues",
			port->data->name, n, room, rte_strerror(rte_errno));
	return 0;
}

static int fail(const struct net_port *port, const char *what, int rc)
{
	return moat_error(rc, "%s: the backing port '%s' %s: %s", port->data->name, port->args.port,
		what, rte_strerror(-rc));
}

/* Give the backing port this port's MTU. A backing port that cannot set its MTU takes any frame. */
static int set_mtu(const struct net_port *port)
{
	int rc = rte_eth_dev_set_mtu(port->device.backing, port->data->mtu);

	if (rc == -EINVAL)
		return moat_error(rc,
			"%s: the backing port '%s' cannot have an MTU of %u; choose a "
			"smaller one",
			port->data->name, port->args.port, port->data->mtu);
	return 0;
}

static int configure(struct net_port *port, uint16_t *nr_rx_desc, uint16_t *nr_tx_desc)
{
	struct net_device *device = &port->device;
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = { 0 };
	int rc = rte_eth_dev_info_get(device->backing, &info);

	if (rc != 0)
		return fail(port, "does not report its capabilities", rc);
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	device->nr_wires_rx = RTE_MIN(port->data->nb_rx_queues, info.max_rx_queues);
	device->nr_wires_tx = RTE_MIN(port->data->nb_tx_queues, info.max_tx_queues);
	if (device->nr_wires_rx == 0 || device->nr_wires_tx == 0)
		return moat_error(-EINVAL,
			"%s: the backing port '%s' has %u receive and %u transmit "
			"queues; it needs one of each",
			port->data->name, port->args.port, info.max_rx_queues, info.max_tx_queues);
	rc = rte_eth_dev_configure(device->backing, device->nr_wires_rx, device->nr_wires_tx,
		&conf);
	if (rc != 0)
		return fail(port, "cannot be configured", rc);
	*nr_rx_desc = 512;
	*nr_tx_desc = 512;
	rc = rte_eth_dev_adjust_nb_rx_tx_desc(device->backing, nr_rx_desc, nr_tx_desc);
	return rc != 0 ? fail(port, "has no rings that fit", rc) : set_mtu(port);
}

static int set_up_queues(struct net_port *port, uint16_t nr_rx_desc, uint16_t nr_tx_desc)
{
	struct net_device *device = &port->device;
	int rc = 0;

	for (uint16_t q = 0; q < device->nr_wires_rx && rc == 0; q++)
		rc = rte_eth_rx_queue_setup(device->backing, q, nr_rx_desc,
			rte_eth_dev_socket_id(device->backing), NULL, device->pool);
	for (uint16_t q = 0; q < device->nr_wires_tx && rc == 0; q++)
		rc = rte_eth_tx_queue_setup(device->backing, q, nr_tx_desc,
			rte_eth_dev_socket_id(device->backing), NULL);
	return rc != 0 ? fail(port, "cannot set up its queues", rc) : 0;
}

/* The device filters addresses, so its backing port must receive all frames. A port without a
 * promiscuous mode (-ENOTSUP) does anyway. */
static void open_up(const struct net_port *port)
{
	int rc = rte_eth_promiscuous_enable(port->device.backing);

	if (rc != 0 && rc != -ENOTSUP)
		NET_LOG(WARNING, "%s: the backing port '%s' is not promiscuous: %s",
			port->data->name, port->args.port, rte_strerror(-rc));
}

int net_backing_start(struct net_port *port)
{
	uint16_t nr_rx_desc = 0, nr_tx_desc = 0;
	int rc;

	if (!net_backing_ours(port))
		return moat_error(-ENODEV, "%s: the backing port '%s' has been removed",
			port->data->name, port->args.port);
	rc = configure(port, &nr_rx_desc, &nr_tx_desc);
	if (rc == 0)
		rc = make_pool(port, nr_rx_desc, nr_tx_desc);
	if (rc == 0)
		rc = set_up_queues(port, nr_rx_desc, nr_tx_desc);
	if (rc == 0) {
		rc = rte_eth_dev_start(port->device.backing);
		if (rc != 0)
			rc = fail(port, "does not start", rc);
	}
	if (rc == 0)
		open_up(port);
	else
		free_pool(port);
	return rc;
}

void net_backing_stop(struct net_port *port)
{
	if (net_backing_ours(port)) {
		rte_eth_dev_stop(port->device.backing);
		/* Leave it no queues, so that the frames they hold come back to the pool. */
		rte_eth_dev_configure(port->device.backing, 0, 0, &(struct rte_eth_conf){ 0 });
	}
	free_pool(port);
}

/* ---------------------------------------------------------------------------------------- link */

int net_link_update(struct rte_eth_dev *dev, int wait)
{
	struct net_port *port = net_port(dev);
	struct rte_eth_link link = { .link_status = RTE_ETH_LINK_DOWN };

	if (dev->data->dev_started && net_backing_ours(port)) {
		int rc = wait ? rte_eth_link_get(port->device.backing, &link)
			      : rte_eth_link_get_nowait(port->device.backing, &link);

		if (rc != 0)
			link = (struct rte_eth_link){ .link_status = RTE_ETH_LINK_DOWN };
	}
	return rte_eth_linkstatus_set(dev, &link);
}

int net_link_up(struct rte_eth_dev *dev)
{
	return net_backing_ours(net_port(dev))
		? rte_eth_dev_set_link_up(net_port(dev)->device.backing)
		: -ENODEV;
}

int net_link_down(struct rte_eth_dev *dev)
{
	return net_backing_ours(net_port(dev))
		? rte_eth_dev_set_link_down(net_port(dev)->device.backing)
		: -ENODEV;
}
