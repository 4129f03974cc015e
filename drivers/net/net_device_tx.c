/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_ethdev.h>

#include "net_device_impl.h"

/* -------------------------------------------------------------------- from memory to the device */

enum planned {
	PLANNED,
	NO_ROOM, /* packet's end not posted, no room in this burst, or ring refused: stop here */
};

/* Find the descriptors of the packet at `at`. */
static enum planned plan_packet(struct net_device_tx *tx, struct net_work *work, uint32_t at,
	uint32_t room)
{
	struct net_packet *packet = &work->packets[work->nr_packets];
	bool nonsense = false, end;
	uint16_t n = 0;

	do {
		struct moat_softvtd_dma *dma = &work->dma[work->nr_dma + n];
		const struct moat_net_desc *desc;

		if (unlikely(at + n == tx->ring.tail || work->nr_dma + n == NET_PIECES))
			return NO_ROOM;
		desc = net_ring_at(work, &tx->ring, at + n, MOAT_R);
		if (unlikely(desc == NULL))
			return NO_ROOM;
		dma->iova = desc->addr;
		dma->len = desc->len;
		dma->prot = MOAT_R;
		end = desc->flags & MOAT_NET_DESC_EOP;
		nonsense |= dma->len == 0 || dma->len > room;
		room -= RTE_MIN(room, dma->len);
		n++;
		if (unlikely(n == MOAT_NET_SEGS_MAX && !end))
			nonsense = end = true;
	} while (!end);
	packet->first = work->nr_dma;
	packet->descs = n;
	packet->n = nonsense ? 0 : n; /* 0: nothing is read */
	return PLANNED;
}

static void plan(struct net_device_tx *tx, struct net_work *work, uint32_t room)
{
	uint32_t at = tx->ring.head;

	work->nr_packets = 0;
	work->nr_dma = 0;
	while (work->nr_packets < tx->nr_spare) {
		struct net_packet *packet = &work->packets[work->nr_packets];

		if (plan_packet(tx, work, at, room) != PLANNED)
			return;
		at += packet->descs;
		work->nr_dma += packet->n;
		work->nr_packets++;
	}
}

/* Append the bytes of one access to a frame of the device, piece by piece. @return false: the unit
 * refuses it. */
static bool read_slowly(struct net_work *work, struct moat_softvtd_dma *dma, struct rte_mbuf *frame)
{
	if (dma->va == NULL)
		return false;
	while (true) {
		rte_memcpy(rte_pktmbuf_mtod_offset(frame, void *, frame->data_len), dma->va,
			dma->run);
		frame->data_len += dma->run;
		if (dma->run == dma->len)
			return true;
		if (!net_dma_next(&work->guard, dma))
			return false;
	}
}

static bool read_packet(struct net_work *work, const struct net_packet *packet,
	struct rte_mbuf *frame)
{
	struct moat_softvtd_dma *dma = &work->dma[packet->first];

	if (likely(packet->n == 1 && dma->va != NULL && dma->run == dma->len)) {
		rte_memcpy(rte_pktmbuf_mtod(frame, void *), dma->va, dma->len);
		frame->data_len = dma->len;
	} else {
		for (uint16_t i = 0; i < packet->n; i++)
			if (!read_slowly(work, &dma[i], frame)) {
				frame->data_len = 0;
				return false;
			}
	}
	frame->pkt_len = frame->data_len;
	return true;
}

/* Read the planned packets and complete their descriptors. */
static void read_all(struct net_device_tx *tx, struct net_work *work)
{
	moat_softvtd_dma_burst(&work->guard, work->dma, work->nr_dma);
	for (uint16_t p = 0; p < work->nr_packets; p++) {
		const struct net_packet *packet = &work->packets[p];
		struct rte_mbuf *frame = tx->spare[tx->nr_spare - 1];
		uint16_t flags = MOAT_NET_DESC_DD;

		if (unlikely(packet->n == 0)) {
			moat_counter_add(&tx->count.bad_desc, 1);
			flags |= MOAT_NET_DESC_ERR;
		} else if (unlikely(!read_packet(work, packet, frame))) {
			moat_counter_add(&tx->count.dma_faults, 1);
			flags |= MOAT_NET_DESC_ERR;
		}
		if (unlikely(!net_ring_complete(&tx->ring, work, packet, NULL, flags))) {
			frame->data_len = 0;
			return;
		}
		if (unlikely(flags & MOAT_NET_DESC_ERR))
			continue;
		tx->nr_spare--;
		tx->ready[tx->nr_ready++] = frame;
	}
}

/* ------------------------------------------------------------------------- onto the wire */

/* Allocate packet memory for up to `n` frames. @return false: there is none. */
static bool stock_up(struct net_device *dev, struct net_device_tx *tx, uint32_t n)
{
	uint16_t want = RTE_MIN(n, (uint32_t)NET_BURST);

	if (tx->nr_spare < want &&
		rte_pktmbuf_alloc_bulk(dev->pool, tx->spare + tx->nr_spare, want - tx->nr_spare) ==
			0)
		tx->nr_spare = want;
	if (likely(tx->nr_spare != 0))
		return true;
	moat_counter_add(&tx->count.no_memory, 1);
	return false;
}

/* Read up to a burst of packets. @return false: no more can be read now. */
static bool read_ring(struct net_device *dev, struct net_device_tx *tx)
{
	struct net_work work;
	uint32_t room;

	if (!stock_up(dev, tx, tx->ring.tail - tx->ring.head))
		return false;
	room = RTE_MIN(rte_pktmbuf_tailroom(tx->spare[0]), (uint16_t)MOAT_NET_FRAME_MAX);
	net_work_begin(&work, &tx->engine);
	plan(tx, &work, room);
	read_all(tx, &work);
	net_work_end(&work);
	moat_counter_add(&tx->count.ring_faults, work.ring_refused);
	return work.nr_packets != 0 && !work.ring_refused;
}

/* Put ready frames on the wire, whose lock is held. @return true: none is left. */
static bool send_ready(struct net_device *dev, struct net_device_tx *tx)
{
	uint16_t sent;

	if (unlikely(__atomic_load_n(&dev->gone, __ATOMIC_RELAXED))) {
		rte_pktmbuf_free_bulk(tx->ready, tx->nr_ready); /* the wire is gone */
		tx->nr_ready = 0;
		return true;
	}
	sent = rte_eth_tx_burst(dev->backing, tx->wire, tx->ready, tx->nr_ready);
	tx->nr_ready -= sent;
	if (likely(tx->nr_ready == 0))
		return true;
	memmove(tx->ready, tx->ready + sent, tx->nr_ready * sizeof(tx->ready[0]));
	return false;
}

void net_device_tx_run(struct net_device *dev, struct net_device_tx *tx)
{
	struct moat_cost_device cost = moat_cost_device_enter();
	struct net_wire *wire = &dev->wire[tx->wire];
	bool waited, waits, more;

	/* Queues share a wire only if the backing port has fewer queues. The holder sends what is
	 * posted to one ring, usually a burst. */
	rte_spinlock_lock(&wire->tx_lock);
	waited = tx->nr_ready != 0;
	more = !waited || send_ready(dev, tx);
	while (more && tx->ring.on && tx->ring.head != tx->ring.tail) {
		more = read_ring(dev, tx);
		if (tx->nr_ready != 0 && !send_ready(dev, tx)) {
			moat_counter_add(&tx->count.busy, 1);
			break;
		}
	}
	waits = tx->nr_ready != 0;
	/* Relaxed: a hint to rx queues' lcores to kick; the wire's lock orders ready[]. */
	if (unlikely(waits != waited))
		__atomic_fetch_add(&dev->tx_waiting, waits ? 1 : -1, __ATOMIC_RELAXED);
	rte_spinlock_unlock(&wire->tx_lock);
	moat_cost_device_leave(cost);
}

void net_device_tx_kick(struct net_device *dev)
{
	for (uint16_t q = 0; q < dev->nr_tx; q++) {
		struct net_device_tx *tx = &dev->tx[q];
		struct net_wire *wire = &dev->wire[tx->wire];

		if (!rte_spinlock_trylock(&wire->tx_lock))
			continue;
		if (tx->nr_ready != 0 && send_ready(dev, tx))
			__atomic_fetch_sub(&dev->tx_waiting, 1, __ATOMIC_RELAXED);
		rte_spinlock_unlock(&wire->tx_lock);
	}
}
