/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_DEVICE_IMPL_H
#define NET_DEVICE_IMPL_H

/* What the two directions of the device half share. */

#include "moat_cost.h"
#include "moat_counter.h"
#include "net_device.h"

#define NET_DESCS_PER_PAGE (MOAT_PAGE_SIZE / sizeof(struct moat_net_desc))

/* Most accesses translated at once: those of NET_BURST packets in one buffer each, and of one more
 * in as many buffers as a packet may have. */
#define NET_PIECES (NET_BURST + MOAT_NET_SEGS_MAX)

/* One packet of a burst: its descriptors, from ring.head on in the order of the packets. */
struct net_packet {
	uint16_t frame; /* index of its mbuf */
	uint16_t first; /* index of its first access */
	uint16_t n;     /* number of accesses */
	uint16_t descs; /* descriptors; not `n` if one of them is invalid */
};

/* A burst under way, on the stack of the lcore that runs the device. */
struct net_work {
	struct moat_softvtd_guard guard;
	/* The ring's pages that this burst has translated: one for reading, one for writing. */
	struct moat_net_desc *page[2];
	uint32_t page_index[2];
	uint16_t nr_packets;
	uint16_t nr_dma;
	bool ring_refused;
	struct net_packet packets[NET_BURST];
	struct moat_softvtd_dma dma[NET_PIECES];
	uint16_t lens[NET_PIECES]; /* bytes of each access; net_dma_next() changes those in dma[] */
};

static inline void net_work_begin(struct net_work *work, const struct net_engine *engine)
{
	work->page[0] = NULL;
	work->page[1] = NULL;
	work->ring_refused = false;
	net_dma_begin(engine, &work->guard);
}

static inline void net_work_end(struct net_work *work)
{
	net_dma_end(&work->guard);
}

/* Find descriptor `i` by DMA. @return NULL: the unit refuses the ring. */
static inline struct moat_net_desc *net_ring_at(struct net_work *work, const struct net_ring *ring,
	uint32_t i, enum moat_prot prot)
{
	unsigned int k = prot == MOAT_W;
	uint32_t slot = i & ring->mask;
	uint32_t page = slot / NET_DESCS_PER_PAGE;

	if (unlikely(work->page[k] == NULL || work->page_index[k] != page)) {
		uint32_t len =
			RTE_MIN(MOAT_PAGE_SIZE, (ring->mask + 1) * sizeof(struct moat_net_desc));

		work->page[k] = moat_softvtd_dma_map(&work->guard,
			ring->iova + (uint64_t)page * MOAT_PAGE_SIZE, len, prot);
		work->page_index[k] = page;
		if (unlikely(work->page[k] == NULL)) {
			work->ring_refused = true;
			return NULL;
		}
	}
	return &work->page[k][slot % NET_DESCS_PER_PAGE];
}

/* Write a descriptor back, all but its address, in one store. */
static inline void net_desc_complete(struct moat_net_desc *desc, uint16_t len, uint16_t flags)
{
	/* Release: the packet's bytes are stored before the done bit, which the driver loads with
	 * acquire. The value is little-endian, as the descriptor is. */
	__atomic_store_n((uint64_t *)(void *)&desc->len, (uint64_t)flags << 16 | len,
		__ATOMIC_RELEASE);
}

/* Hand back the descriptors of the packet at the ring's head. All are found before the first is
 * written, so that the done bit is set in all of them or in none. `lens`: the bytes in each of the
 * packet's `n` buffers; NULL: 0. @return false: the unit refuses the ring, and none is handed
 * back. */
static inline bool net_ring_complete(struct net_ring *ring, struct net_work *work,
	const struct net_packet *packet, const uint16_t lens[], uint16_t flags)
{
	struct moat_net_desc *desc[MOAT_NET_SEGS_MAX];

	for (uint16_t i = 0; i < packet->descs; i++) {
		desc[i] = net_ring_at(work, ring, ring->head + i, MOAT_W);
		if (unlikely(desc[i] == NULL))
			return false;
	}
	for (uint16_t i = 0; i < packet->descs; i++)
		net_desc_complete(desc[i], lens != NULL && i < packet->n ? lens[i] : 0,
			i + 1 == packet->descs ? flags | MOAT_NET_DESC_EOP : flags);
	ring->head += packet->descs;
	return true;
}

#endif /* NET_DEVICE_IMPL_H */
