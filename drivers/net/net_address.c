/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_malloc.h>

#include "net_port.h"

/* Write both modes to the device's filter. */
static void apply(struct rte_eth_dev *dev, bool promiscuous, bool all_multicast)
{
	struct net_device *device = &net_port(dev)->device;
	struct net_filter *filter = &device->filter;

	net_device_filter_lock(device);
	filter->promiscuous = promiscuous;
	filter->all_multicast = all_multicast;
	net_filter_settle(filter);
	net_device_filter_unlock(device);
}

/* ethdev itself keeps the flags in dev->data, which may be set before or after these calls. */
int net_promiscuous_on(struct rte_eth_dev *dev)
{
	apply(dev, true, dev->data->all_multicast);
	return 0;
}

int net_promiscuous_off(struct rte_eth_dev *dev)
{
	apply(dev, false, dev->data->all_multicast);
	return 0;
}

int net_allmulticast_on(struct rte_eth_dev *dev)
{
	apply(dev, dev->data->promiscuous, true);
	return 0;
}

int net_allmulticast_off(struct rte_eth_dev *dev)
{
	apply(dev, dev->data->promiscuous, false);
	return 0;
}

/* ----------------------------------------------------------------------------------- addresses */

/* Copy ethdev's list of addresses to the filter, with `mac` (0: none) in place of slot `i`. */
static void list_macs(struct rte_eth_dev *dev, uint32_t i, uint64_t mac)
{
	struct net_device *device = &net_port(dev)->device;
	struct net_filter *filter = &device->filter;
	uint8_t n = 0;

	net_device_filter_lock(device);
	for (uint32_t k = 0; k < NET_MACS_MAX; k++) {
		uint64_t one = k == i ? mac : net_mac(&dev->data->mac_addrs[k]);

		if (one != 0)
			filter->macs[n++] = one;
	}
	filter->nr_macs = n;
	net_device_filter_unlock(device);
}

int net_mac_add(struct rte_eth_dev *dev, struct rte_ether_addr *addr, uint32_t i, uint32_t pool)
{
	if (net_mac_multicast(net_mac(addr)))
		return -EINVAL; /* groups are set by rte_eth_dev_set_mc_addr_list() */
	list_macs(dev, i, net_mac(addr));
	return 0;
}

void net_mac_remove(struct rte_eth_dev *dev, uint32_t i)
{
	list_macs(dev, i, 0);
}

int net_mac_set(struct rte_eth_dev *dev, struct rte_ether_addr *addr)
{
	list_macs(dev, 0, net_mac(addr));
	return 0;
}

int net_groups_set(struct rte_eth_dev *dev, struct rte_ether_addr *addrs, uint32_t n)
{
	struct net_device *device = &net_port(dev)->device;
	struct net_filter *filter = &device->filter;

	if (n > NET_GROUPS_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i < n; i++)
		if (!net_mac_multicast(net_mac(&addrs[i])))
			return -EINVAL;
	net_device_filter_lock(device);
	for (uint32_t i = 0; i < n; i++)
		filter->groups[i] = net_mac(&addrs[i]);
	filter->nr_groups = n;
	net_device_filter_unlock(device);
	return 0;
}

int net_address_init(struct net_port *port)
{
	struct rte_ether_addr *macs =
		rte_zmalloc("net_moat", NET_MACS_MAX * sizeof(*macs), RTE_CACHE_LINE_SIZE);

	if (macs == NULL)
		return moat_error(-ENOMEM, "%s: out of memory", port->data->name);
	port->data->mac_addrs = macs; /* rte_eth_dev_release_port() frees it */
	if (port->args.has_mac)
		macs[0] = port->args.mac;
	else if (rte_eth_macaddr_get(port->device.backing, &macs[0]) != 0 ||
		!rte_is_valid_assigned_ether_addr(&macs[0]))
		rte_eth_random_addr(macs[0].addr_bytes);
	port->device.filter.macs[0] = net_mac(&macs[0]);
	port->device.filter.nr_macs = 1;
	return 0;
}
