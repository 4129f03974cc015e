/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>

#include <bus_vdev_driver.h>
#include <rte_malloc.h>
#include <rte_version.h>

#include "moat_device.h"
#include "moat_softvtd_intr.h"
#include "net_port.h"
#include "net_queue.h"

RTE_LOG_REGISTER(net_logtype, pmd.net.moat, NOTICE);

static const struct eth_dev_ops net_ops;

/* --------------------------------------------------------------------------- start, stop, close */

static int dev_configure(struct rte_eth_dev *dev)
{
	return 0; /* ethdev has checked the configuration against dev_infos_get() */
}

static void stop_queues(struct rte_eth_dev *dev)
{
	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		if (dev->data->rx_queue_state[q] == RTE_ETH_QUEUE_STATE_STARTED)
			net_rx_queue_stop(dev, q);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		if (dev->data->tx_queue_state[q] == RTE_ETH_QUEUE_STATE_STARTED)
			net_tx_queue_stop(dev, q);
}

static int start_queues(struct rte_eth_dev *dev)
{
	int rc = 0;

	for (uint16_t q = 0; q < dev->data->nb_rx_queues && rc == 0; q++) {
		const struct net_rxq *rxq = dev->data->rx_queues[q];

		if (!rxq->conf.rx_deferred_start)
			rc = net_rx_queue_start(dev, q);
	}
	for (uint16_t q = 0; q < dev->data->nb_tx_queues && rc == 0; q++) {
		const struct net_txq *txq = dev->data->tx_queues[q];

		if (!txq->conf.tx_deferred_start)
			rc = net_tx_queue_start(dev, q);
	}
	if (rc != 0)
		stop_queues(dev);
	return rc;
}

static int dev_start(struct rte_eth_dev *dev)
{
	struct net_port *port = net_port(dev);
	int rc = net_backing_start(port);

	if (rc != 0)
		return net_say(rc);
	port->device.frame_max = dev->data->mtu + NET_OVERHEAD - RTE_ETHER_CRC_LEN;
	rc = net_device_up(&port->device, dev->data->name, dev->data->nb_rx_queues,
		dev->data->nb_tx_queues);
	if (rc == 0) {
		rc = start_queues(dev);
		if (rc == 0)
			return 0;
		net_device_down(&port->device);
	} else {
		net_say(rc);
	}
	net_backing_stop(port);
	return rc;
}

static int dev_stop(struct rte_eth_dev *dev)
{
	struct net_port *port = net_port(dev);

	stop_queues(dev);
	net_device_down(&port->device);
	net_backing_stop(port);
	dev->data->dev_link.link_status = RTE_ETH_LINK_DOWN;
	return 0;
}

/* Undo build(), which may have failed halfway. */
static void dismantle(struct net_port *port)
{
	net_flow_free(port);
	net_backing_release(port);
	if (port->unit != NULL)
		net_unit_close(port->unit);
	port->unit = NULL;
}

static int dev_close(struct rte_eth_dev *dev)
{
	struct net_port *port = net_port(dev);

	if (rte_eal_process_type() != RTE_PROC_PRIMARY)
		return 0;
	if (dev->data->dev_started) {
		dev_stop(dev);
		dev->data->dev_started = 0;
	}
	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++)
		net_rx_queue_release(dev, q);
	for (uint16_t q = 0; q < dev->data->nb_tx_queues; q++)
		net_tx_queue_release(dev, q);
	moat_device_tells(dev->data->port_id, false);
	moat_device_requesters(dev->data->port_id, NULL);
	net_move_offer(dev->data->port_id, false);
	dismantle(port);
	return 0;
}

/* --------------------------------------------------------------------------------- capabilities */

static int dev_infos_get(struct rte_eth_dev *dev, struct rte_eth_dev_info *info)
{
	const struct net_port *port = net_port(dev);

	info->max_rx_queues = port->args.queues;
	info->max_tx_queues = port->args.queues;
	info->min_rx_bufsize = NET_ROOM_MIN;
	info->max_rx_pktlen = MOAT_NET_FRAME_MAX + RTE_ETHER_CRC_LEN;
	info->min_mtu = RTE_ETHER_MIN_MTU;
	info->max_mtu = MOAT_NET_FRAME_MAX + RTE_ETHER_CRC_LEN - NET_OVERHEAD;
	info->max_mac_addrs = NET_MACS_MAX;
	info->rx_desc_lim = (struct rte_eth_desc_lim){
		.nb_max = MOAT_NET_RING_MAX,
		.nb_min = MOAT_NET_RING_MIN,
		.nb_align = MOAT_NET_RING_MIN,
		.nb_seg_max = MOAT_NET_SEGS_MAX,
		.nb_mtu_seg_max = MOAT_NET_SEGS_MAX,
	};
	info->tx_desc_lim = info->rx_desc_lim;
	info->rx_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->rx_queue_offload_capa = RTE_ETH_RX_OFFLOAD_SCATTER;
	info->tx_offload_capa = RTE_ETH_TX_OFFLOAD_MULTI_SEGS | RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	info->tx_queue_offload_capa = info->tx_offload_capa;
	info->default_rxconf.rx_free_thresh = NET_RX_FREE_THRESH;
	info->default_txconf.tx_free_thresh = NET_TX_FREE_THRESH;
	info->default_rxportconf =
		(struct rte_eth_dev_portconf){ .burst_size = 32, .ring_size = 512, .nb_queues = 1 };
	info->default_txportconf = info->default_rxportconf;
	info->dev_capa = RTE_ETH_DEV_CAPA_RUNTIME_RX_QUEUE_SETUP |
		RTE_ETH_DEV_CAPA_RUNTIME_TX_QUEUE_SETUP | RTE_ETH_DEV_CAPA_FLOW_RULE_KEEP;
	return 0;
}

/* From DPDK 24.03 on the driver returns the number of packet types; before, RTE_PTYPE_UNKNOWN ended
 * the list. */
static const uint32_t ptypes[] = { RTE_PTYPE_L2_ETHER, RTE_PTYPE_UNKNOWN };

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
static const uint32_t *supported_ptypes(struct rte_eth_dev *dev, size_t *n)
{
	*n = RTE_DIM(ptypes) - 1;
	return ptypes;
}
#else
static const uint32_t *supported_ptypes(struct rte_eth_dev *dev)
{
	return ptypes;
}
#endif

static int burst_mode(struct rte_eth_dev *dev, uint16_t queue, struct rte_eth_burst_mode *mode)
{
	snprintf(mode->info, sizeof(mode->info), "Scalar, device in line");
	return 0;
}

static int mtu_set(struct rte_eth_dev *dev, uint16_t mtu)
{
	struct net_port *port = net_port(dev);

	if (dev->data->dev_started)
		return -EBUSY; /* net_backing_start() makes buffers for the MTU */
	for (uint16_t q = 0; q < dev->data->nb_rx_queues; q++) {
		const struct net_rxq *rxq =
			dev->data->rx_queues != NULL ? dev->data->rx_queues[q] : NULL;

		if (rxq != NULL && !rxq->hw->scatter && mtu + NET_OVERHEAD > rxq->room)
			return net_say(moat_error(-EINVAL,
				"%s: an MTU of %u does not fit into the "
				"%u bytes of rx queue %u's buffers; set the queue up with larger "
				"ones or with RTE_ETH_RX_OFFLOAD_SCATTER",
				dev->data->name, mtu, rxq->room, q));
	}
	port->device.frame_max = mtu + NET_OVERHEAD - RTE_ETHER_CRC_LEN;
	return 0;
}

static const struct eth_dev_ops net_ops = {
	.dev_configure = dev_configure,
	.dev_start = dev_start,
	.dev_stop = dev_stop,
	.dev_close = dev_close,
	.dev_infos_get = dev_infos_get,
	.dev_supported_ptypes_get = supported_ptypes,
	.dev_set_link_up = net_link_up,
	.dev_set_link_down = net_link_down,
	.link_update = net_link_update,
	.promiscuous_enable = net_promiscuous_on,
	.promiscuous_disable = net_promiscuous_off,
	.allmulticast_enable = net_allmulticast_on,
	.allmulticast_disable = net_allmulticast_off,
	.mac_addr_add = net_mac_add,
	.mac_addr_remove = net_mac_remove,
	.mac_addr_set = net_mac_set,
	.set_mc_addr_list = net_groups_set,
	.mtu_set = mtu_set,
	.stats_get = net_stats_get,
	.stats_reset = net_stats_reset,
	.xstats_get = net_xstats_get,
	.xstats_get_names = net_xstats_names,
	.xstats_reset = net_stats_reset,
	.rx_queue_setup = net_rx_queue_setup,
	.tx_queue_setup = net_tx_queue_setup,
	.rx_queue_release = net_rx_queue_release,
	.tx_queue_release = net_tx_queue_release,
	.rx_queue_start = net_rx_queue_start,
	.rx_queue_stop = net_rx_queue_stop,
	.tx_queue_start = net_tx_queue_start,
	.tx_queue_stop = net_tx_queue_stop,
	.rxq_info_get = net_rxq_info,
	.txq_info_get = net_txq_info,
	.rx_burst_mode_get = burst_mode,
	.tx_burst_mode_get = burst_mode,
	.tx_done_cleanup = net_tx_done_cleanup,
	.flow_ops_get = net_flow_ops,
};

/* -------------------------------------------------------------------------------------- probing */

static void init_locks(struct net_device *device)
{
	for (uint16_t w = 0; w < MOAT_NET_QUEUES_MAX; w++) {
		rte_spinlock_init(&device->wire[w].rx_lock);
		rte_spinlock_init(&device->wire[w].tx_lock);
	}
}

/* Do the steps of probing that can fail; dismantle() undoes those that were done. */
static int build(struct net_port *port, const char *args)
{
	int rc;

	init_locks(&port->device);
	TAILQ_INIT(&port->flows);
	rc = net_args_parse(port->data->name, args, &port->args);
	if (rc == 0)
		rc = net_backing_find(port);
	if (rc == 0)
		rc = net_address_init(port);
	if (rc == 0)
		rc = net_unit_open(port->data->name, &port->args, &port->unit);
	if (rc == 0)
		rc = net_flow_init(port);
	return rc;
}

static int on_destroy(uint16_t removed, enum rte_eth_event_type event, void *arg, void *ret)
{
	for (unsigned int i = 0; i < RTE_MAX_ETHPORTS; i++)
		if (i != removed && rte_eth_devices[i].state != RTE_ETH_DEV_UNUSED &&
			rte_eth_devices[i].dev_ops == &net_ops)
			net_backing_gone(net_port(&rte_eth_devices[i]), removed);
	return 0;
}

/* Register on_destroy(), once for all ports: a backing port may be removed while net_moat uses
 * it. */
static void watch_ports(void)
{
	static bool watching;

	if (!watching)
		watching = rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_DESTROY,
				   on_destroy, NULL) == 0;
}

/* Find a queue's requester, for moat_device_requesters(). */
static int requester_of(uint16_t id, uint16_t queue, struct moat_device_requester *requester)
{
	const struct net_port *port = net_port(&rte_eth_devices[id]);
	int rc = moat_net_queue_sid(id, queue, &requester->sid);

	if (rc == 0)
		rc = moat_net_queue_pasid(id, queue, &requester->pasid);
	if (rc != 0)
		return rc;
	snprintf(requester->unit, sizeof(requester->unit), "%s", port->unit->name);
	requester->unit_key = "unit";
	return 0;
}

static int probe(struct rte_vdev_device *vdev)
{
	const char *name = rte_vdev_device_name(vdev);
	struct rte_eth_dev *dev;
	struct net_port *port;
	int rc;

	if (rte_eal_process_type() != RTE_PROC_PRIMARY) {
		NET_LOG(ERR,
			"%s: a secondary process cannot use the port: its device half and its "
			"unit live in the primary's memory; run the program as primary",
			name);
		return -ENOTSUP;
	}
	dev = rte_eth_vdev_allocate(vdev, sizeof(*port));
	if (dev == NULL) {
		NET_LOG(ERR, "%s: no memory, or no port number left", name);
		return -ENOMEM;
	}
	port = net_port(dev);
	port->data = dev->data;
	watch_ports();
	rc = build(port, rte_vdev_device_args(vdev));
	if (rc != 0) {
		NET_LOG(ERR, "%s", moat_error_text());
		dismantle(port);
		rte_eth_dev_release_port(dev);
		return rc;
	}
	dev->dev_ops = &net_ops;
	dev->rx_pkt_burst = net_rx_burst;
	dev->tx_pkt_burst = net_tx_burst;
	dev->rx_queue_count = net_rx_queue_count;
	dev->rx_descriptor_status = net_rx_descriptor_status;
	dev->tx_descriptor_status = net_tx_descriptor_status;
	dev->data->dev_flags |= RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS;
	moat_device_tells(dev->data->port_id, true);
	moat_device_requesters(dev->data->port_id, requester_of);
	net_move_offer(dev->data->port_id, true);
	rte_eth_dev_probing_finish(dev);
	return 0;
}

static int remove_port(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL) /* closed already */
		return 0;
	dev_close(dev);
	return rte_eth_dev_release_port(dev);
}

static int dma_map(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t len)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return -ENODEV;
	return net_say(net_memory_map(net_port(dev)->unit->memory, va, iova, len));
}

static int dma_unmap(struct rte_vdev_device *vdev, void *va, uint64_t iova, size_t len)
{
	struct rte_eth_dev *dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));

	if (dev == NULL)
		return -ENODEV;
	return net_say(net_memory_unmap(net_port(dev)->unit->memory, va, iova, len));
}

static struct rte_vdev_driver net_driver = {
	.probe = probe,
	.remove = remove_port,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
};

RTE_PMD_REGISTER_VDEV(net_moat, net_driver);
RTE_PMD_REGISTER_PARAM_STRING(net_moat,
	"port=<ethdev> "
	"queues=<n> "
	"unit=<name> "
	"unit_args=<key:value/...> "
	"sid=<bb:dd.f> "
	"requesters=port|queue|pasid "
	"mac=<address> "
	"steer=<address|vlan|address+vlan>/<queue>");

/* ---------------------------------------------------------------------------------- moat_net.h */

static struct net_port *find_port(uint16_t id)
{
	struct rte_eth_dev *dev;

	if (!rte_eth_dev_is_valid_port(id))
		goto none;
	dev = &rte_eth_devices[id];
	if (dev->dev_ops == &net_ops)
		return net_port(dev);
none:
	moat_error(-ENODEV, "port %u is not a net_moat port", id);
	return NULL;
}

int moat_net_info(uint16_t id, struct moat_net_info *info)
{
	const struct net_port *port = find_port(id);

	if (port == NULL)
		return -ENODEV;
	*info = (struct moat_net_info){
		.private_unit = port->unit->memory != NULL,
		.requester_per_queue = port->args.requester_per_queue,
		.sid = port->unit->sid,
		.queues = port->args.queues,
		.backing_port = port->device.backing,
	};
	snprintf(info->unit, sizeof(info->unit), "%s", port->unit->name);
	return 0;
}

int moat_net_queue_sid(uint16_t id, uint16_t queue, moat_sid_t *sid)
{
	const struct net_port *port = find_port(id);

	if (port == NULL)
		return -ENODEV;
	if (queue >= port->args.queues)
		return moat_error(-EINVAL, "%s has no queue %u (queues=%u)", port->data->name,
			queue, port->args.queues);
	*sid = port->unit->sid + (port->args.requester_per_queue ? queue : 0);
	return 0;
}

int moat_net_queue_pasid(uint16_t id, uint16_t queue, uint32_t *pasid)
{
	const struct net_port *port = find_port(id);
	moat_sid_t sid;
	int rc = moat_net_queue_sid(id, queue, &sid);

	if (rc == 0)
		*pasid = port->args.pasid_per_queue ? NET_PASID(queue) : MOAT_PASID_NONE;
	return rc;
}

int moat_net_post_rx(uint16_t id, uint16_t queue, uint64_t iova)
{
	struct net_port *port = find_port(id);
	struct net_rxq *rxq;

	if (port == NULL)
		return -ENODEV;
	if (queue >= port->data->nb_rx_queues || port->data->rx_queues[queue] == NULL)
		return moat_error(-EINVAL, "%s has no rx queue %u", port->data->name, queue);
	rxq = port->data->rx_queues[queue];
	/* Acquire: pairs with the release in net_rx.c that clears `post`: the lcore has read the
	 * last request. */
	if (__atomic_load_n(&rxq->post, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	rxq->post_iova = iova;
	__atomic_store_n(&rxq->post, true, __ATOMIC_RELEASE); /* after post_iova */
	return 0;
}

int moat_net_post_tx(uint16_t id, uint16_t queue, uint64_t iova, uint16_t len)
{
	struct net_port *port = find_port(id);
	struct net_txq *txq;

	if (port == NULL)
		return -ENODEV;
	if (queue >= port->data->nb_tx_queues || port->data->tx_queues[queue] == NULL)
		return moat_error(-EINVAL, "%s has no tx queue %u", port->data->name, queue);
	if (len == 0 || len > MOAT_NET_FRAME_MAX)
		return moat_error(-EINVAL, "%s: a packet of %u bytes cannot be sent; give 1 to %u",
			port->data->name, len, MOAT_NET_FRAME_MAX);
	txq = port->data->tx_queues[queue];
	if (__atomic_load_n(&txq->post, __ATOMIC_ACQUIRE)) /* as in moat_net_post_rx() */
		return -EAGAIN;
	txq->post_iova = iova;
	txq->post_len = len;
	__atomic_store_n(&txq->post, true, __ATOMIC_RELEASE); /* after post_iova and post_len */
	return 0;
}

int moat_net_interrupt(uint16_t id, uint16_t queue, uint64_t address, uint32_t data)
{
	struct net_port *port = find_port(id);
	const struct net_engine *engine;

	if (port == NULL)
		return -ENODEV;
	if (queue >= port->data->nb_rx_queues || port->data->rx_queues[queue] == NULL)
		return moat_error(-EINVAL, "%s has no rx queue %u", port->data->name, queue);
	if (address >> 20 != 0xfee)
		return moat_error(-EINVAL,
			"0x%" PRIx64 " is not an interrupt's address: those are 0xfee00000 to "
			"0xfeefffff",
			address);
	engine = &port->device.rx[queue].engine;
	return moat_softvtd_interrupt(engine->unit, engine->sid, address, data);
}

int moat_net_msi(uint16_t id, uint16_t queue, uint64_t address, uint32_t data)
{
	struct net_port *port = find_port(id);
	struct net_device_rx *rx;

	if (port == NULL)
		return -ENODEV;
	if (queue >= port->data->nb_rx_queues)
		return moat_error(-EINVAL, "%s has no rx queue %u", port->data->name, queue);
	rx = &port->device.rx[queue];
	__atomic_store_n(&rx->msi_address, 0, __ATOMIC_RELAXED);
	rx->msi_data = data;
	__atomic_store_n(&rx->msi_address, address, __ATOMIC_RELEASE); /* after msi_data */
	return 0;
}

int moat_net_turn(uint16_t id)
{
	struct net_port *port = find_port(id);

	return port == NULL ? -ENODEV : net_device_turn(&port->device);
}
