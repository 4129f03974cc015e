/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_errno.h>
#include <rte_memzone.h>

#include "moat_device.h"
#include "net_queue.h"

int net_say(int rc)
{
	if (rc < 0)
		NET_LOG(ERR, "%s", moat_error_text());
	return rc;
}

int net_ring_check(const struct rte_eth_dev *dev, const char *side, uint16_t queue,
	uint16_t nb_desc)
{
	if (!rte_is_power_of_2(nb_desc) || nb_desc < MOAT_NET_RING_MIN ||
		nb_desc > MOAT_NET_RING_MAX)
		return moat_error(-EINVAL,
			"%s: %s queue %u: %u descriptors; a ring has a power of "
			"two, from %u to %u",
			dev->data->name, side, queue, nb_desc, MOAT_NET_RING_MIN,
			MOAT_NET_RING_MAX);
	return 0;
}

const struct rte_memzone *net_ring_reserve(struct rte_eth_dev *dev, const char *side,
	uint16_t queue, uint16_t nb_desc, unsigned int socket)
{
	/* Whole pages: the device reaches everything in a page that holds a part of the ring. */
	size_t size = RTE_ALIGN_CEIL(nb_desc * sizeof(struct moat_net_desc), MOAT_PAGE_SIZE);
	const struct rte_memzone *zone =
		rte_eth_dma_zone_reserve(dev, side, queue, size, MOAT_PAGE_SIZE, (int)socket);

	if (zone == NULL) {
		moat_error(-ENOMEM,
			"%s: %s queue %u: no %zu contiguous bytes for the ring in the "
			"memory of socket %d (%s); give that socket more memory",
			dev->data->name, side, queue, size, (int)socket, rte_strerror(rte_errno));
		return NULL;
	}
	if (zone->iova == RTE_BAD_IOVA || zone->iova & MOAT_PAGE_MASK) {
		moat_error(-ENOMEM,
			"%s: %s queue %u: the ring in the memory of socket %d has IOVA 0x%" PRIx64
			", which is not page-aligned; give that heap page-aligned IOVAs",
			dev->data->name, side, queue, (int)socket, zone->iova);
		rte_memzone_free(zone);
		return NULL;
	}
	/* A ring in a tenant's heap must be mapped for the device. Do it here, because some
	 * programs do not route DPDK's reservations through moat. */
	if (moat_device_map(zone) != 0) {
		moat_device_free(rte_memzone_free, zone);
		return NULL;
	}
	return zone;
}

const char *net_ring_other(const struct rte_memzone *zone, const char *one, const char *other)
{
	size_t len = strlen(zone->name), n = strlen(other);

	return len > n && strcmp(&zone->name[len - n], other) == 0 ? one : other;
}

void net_ring_free(struct rte_eth_dev *dev, const char *side, uint16_t queue,
	const struct rte_memzone *zone)
{
	int rc = zone != NULL ? moat_device_free(rte_memzone_free, zone) : 0;

	if (rc != 0)
		NET_LOG(ERR, "%s: %s queue %u: the ring's memory is not freed: %s", dev->data->name,
			side, queue, strerror(-rc));
}

void net_engine_set(const struct net_port *port, struct net_engine *engine, uint16_t queue,
	enum net_direction direction)
{
	engine->unit = port->unit->sv;
	engine->sid = port->unit->sid + (port->args.requester_per_queue ? queue : 0);
	engine->pasid = port->args.pasid_per_queue ? NET_PASID(queue) : MOAT_PASID_NONE;
	engine->agent = 2 * queue + direction;
}
