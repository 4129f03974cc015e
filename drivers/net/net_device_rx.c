/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <rte_ethdev.h>

#include "moat_softvtd_intr.h"
#include "net_device_impl.h"

/* ------------------------------------------------------------------- from the wire to queues */

/* Any lcore may drop a frame of any queue. Relaxed: only sums. */
static inline void count_shared(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* Do queues with `hold` have room for a burst of each wire? A frame without room is lost. */
static __rte_noinline bool holds_have_room(const struct net_device *dev)
{
	unsigned int want = RTE_MIN(NET_BURST * dev->nr_wires_rx, NET_FIFO_SIZE / 2);

	for (uint16_t q = 0; q < dev->nr_rx; q++)
		if (dev->rx[q].hold && dev->rx[q].fifo != NULL &&
			rte_ring_free_count(dev->rx[q].fifo) < want)
			return false;
	return true;
}

/* Receive from a wire, whose lock is held. */
static inline uint16_t wire_receive(const struct net_device *dev, uint16_t wire,
	struct rte_mbuf *frames[], uint16_t n)
{
	if (unlikely(dev->holds != 0) && !holds_have_room(dev))
		return 0;
	if (unlikely(__atomic_load_n(&dev->gone, __ATOMIC_RELAXED)))
		return 0;
	return rte_eth_rx_burst(dev->backing, wire, frames, n);
}

static void hand_over(struct net_device *dev, uint16_t queue, struct rte_mbuf *frame)
{
	struct net_device_rx *to = &dev->rx[queue];

	/* Relaxed: whether frames that arrive during a stop are kept does not matter. */
	if (unlikely((!__atomic_load_n(&to->ring.on, __ATOMIC_RELAXED) && !to->hold) ||
		    rte_ring_enqueue(to->fifo, frame) != 0)) {
		count_shared(&to->count.missed, 1);
		rte_pktmbuf_free(frame);
	}
}

/* Sort `n` frames of a wire. @return how many are for `rx`; they stay in `frames`, in order. */
static uint16_t sort(struct net_device *dev, struct net_device_rx *rx, uint16_t wire,
	struct rte_mbuf *frames[], uint16_t n)
{
	uint16_t mine = 0;

	if (dev->filter.open && wire == rx->queue)
		return n;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t queue =
			dev->filter.open ? wire : net_filter_queue(&dev->filter, frames[i], wire);

		if (queue == rx->queue) {
			frames[mine++] = frames[i];
		} else if (queue < dev->nr_rx) {
			hand_over(dev, queue, frames[i]);
		} else {
			moat_counter_add(&dev->wire[wire].filtered, queue != NET_QUEUE_DROP);
			rte_pktmbuf_free(frames[i]);
		}
	}
	return mine;
}

/* Take up to `n` frames from one wire; none if another lcore holds its lock. */
static uint16_t pull(struct net_device *dev, struct net_device_rx *rx, uint16_t wire,
	struct rte_mbuf *frames[], uint16_t n)
{
	uint16_t got;

	if (!rte_spinlock_trylock(&dev->wire[wire].rx_lock))
		return 0;
	got = wire_receive(dev, wire, frames, n);
	if (got != 0)
		got = sort(dev, rx, wire, frames, got);
	rte_spinlock_unlock(&dev->wire[wire].rx_lock);
	return got;
}

/* `hold` is set: take only the frames that were in the FIFO before that; poll no wire. */
static uint16_t take_before_line(struct net_device_rx *rx, struct rte_mbuf *frames[], uint16_t n)
{
	uint16_t got = 0;

	if (rx->line != 0)
		got = rte_ring_sc_dequeue_burst(rx->fifo, (void **)frames, RTE_MIN(n, rx->line),
			NULL);
	rx->line -= got;
	return got;
}

/* Take frames for this queue: those in held[]; if there are none, those in the FIFO, which other
 * lcores have pulled, and then the wire's. */
static uint16_t take(struct net_device *dev, struct net_device_rx *rx, struct rte_mbuf *frames[],
	uint16_t n)
{
	uint16_t got = 0;

	if (unlikely(rx->nr_held != 0)) {
		got = rx->nr_held;
		memcpy(frames, rx->held, got * sizeof(frames[0]));
		rx->nr_held = 0;
		return got;
	}
	if (unlikely(rx->hold))
		return take_before_line(rx, frames, n);
	if (rx->fifo != NULL)
		got = rte_ring_sc_dequeue_burst(rx->fifo, (void **)frames, n, NULL);
	if (got == n)
		return got;
	uint16_t pulled = pull(dev, rx, rx->wire, frames + got, n - got);

	if (pulled == 0 && dev->nr_wires_rx > 1) {
		/* An idle queue goes on to the next wire, which may be of queues that no lcore
		 * polls. */
		uint16_t wire = (rx->wire + 1) % dev->nr_wires_rx;

		rx->wire = wire;
		pulled = pull(dev, rx, wire, frames + got, n - got);
	}
	return got + pulled;
}

/* ------------------------------------------------------------------ from the device to memory */

enum planned {
	PLANNED,
	DROP,    /* the frame is dropped and uses no descriptor */
	NO_ROOM, /* no descriptor, no room in this burst, or ring refused: stop here */
};

/* Find the descriptors of one frame. */
static enum planned plan_frame(struct net_device_rx *rx, struct net_work *work, uint32_t len,
	uint32_t at)
{
	const struct net_ring *ring = &rx->ring;
	struct net_packet *packet = &work->packets[work->nr_packets];
	uint16_t n = 0;

	packet->descs = 0;
	do {
		struct moat_softvtd_dma *dma = &work->dma[work->nr_dma + n];
		const struct moat_net_desc *desc;

		if (unlikely(at + n == ring->tail || work->nr_dma + n == NET_PIECES))
			return NO_ROOM;
		desc = net_ring_at(work, ring, at + n, MOAT_R);
		if (unlikely(desc == NULL))
			return NO_ROOM;
		packet->descs++;
		if (unlikely(desc->len == 0)) /* invalid: the frame is lost */
			break;
		dma->iova = desc->addr;
		dma->len = RTE_MIN(len, desc->len);
		dma->prot = MOAT_W;
		work->lens[work->nr_dma + n] = dma->len;
		len -= dma->len;
		n++;
		if (unlikely(len != 0 && (!rx->scatter || n == MOAT_NET_SEGS_MAX)))
			return DROP;
	} while (len != 0);
	packet->first = work->nr_dma;
	packet->n = n;
	return PLANNED;
}

/* Find the descriptors of as many frames as fit. @return how many frames are planned, or dropped
 * for their length. */
static uint16_t plan(struct net_device *dev, struct net_device_rx *rx, struct net_work *work,
	struct rte_mbuf *frames[], uint16_t n)
{
	uint32_t at = rx->ring.head;
	uint16_t i;

	work->nr_packets = 0;
	work->nr_dma = 0;
	for (i = 0; i < n; i++) {
		enum planned how = DROP;

		/* NOLINTNEXTLINE(clang-analyzer-core.*): take() filled n of them */
		if (likely(frames[i]->pkt_len != 0 && frames[i]->pkt_len <= dev->frame_max))
			how = plan_frame(rx, work, frames[i]->pkt_len, at);
		if (unlikely(how == NO_ROOM))
			break;
		if (unlikely(how == DROP)) {
			moat_counter_add(&rx->count.bad_length, 1);
			continue;
		}
		struct net_packet *packet = &work->packets[work->nr_packets++];

		packet->frame = i;
		at += packet->descs;
		work->nr_dma += packet->n;
	}
	return i;
}

/* Write the bytes of one access, from `seg` at `*offset` on, piece by piece. @return false: the
 * unit refuses it. */
static bool write_slowly(struct net_work *work, struct moat_softvtd_dma *dma,
	const struct rte_mbuf **seg, uint32_t *offset)
{
	uint32_t done = 0;

	if (dma->va == NULL)
		return false;
	while (true) {
		uint32_t n;

		while (*offset == (*seg)->data_len) {
			*seg = (*seg)->next;
			*offset = 0;
		}
		n = RTE_MIN(dma->run - done, (*seg)->data_len - *offset);
		rte_memcpy(RTE_PTR_ADD(dma->va, done),
			rte_pktmbuf_mtod_offset(*seg, const void *, *offset), n);
		*offset += n;
		done += n;
		if (done != dma->run)
			continue;
		if (dma->run == dma->len)
			return true;
		if (!net_dma_next(&work->guard, dma))
			return false;
		done = 0;
	}
}

/* Write one frame to its buffers. @return false: the unit refuses it. */
static bool write_frame(struct net_work *work, const struct net_packet *packet,
	const struct rte_mbuf *frame)
{
	struct moat_softvtd_dma *dma = &work->dma[packet->first];
	uint32_t offset = 0;

	if (likely(packet->n == 1 && dma->run == dma->len && frame->nb_segs == 1 &&
		    dma->va != NULL)) {
		rte_memcpy(dma->va, rte_pktmbuf_mtod(frame, const void *), dma->len);
		return true;
	}
	for (uint16_t i = 0; i < packet->n; i++)
		if (!write_slowly(work, &dma[i], &frame, &offset))
			return false;
	return true;
}

/* Write the planned frames and complete their descriptors. @return how many; fewer than planned
 * only if the unit refuses the ring. */
static uint16_t write_all(struct net_device_rx *rx, struct net_work *work,
	struct rte_mbuf *frames[])
{
	struct net_ring *ring = &rx->ring;

	moat_softvtd_dma_burst(&work->guard, work->dma, work->nr_dma);
	for (uint16_t p = 0; p < work->nr_packets; p++) {
		const struct net_packet *packet = &work->packets[p];
		uint16_t flags = MOAT_NET_DESC_DD;

		if (unlikely(packet->descs != packet->n)) {
			moat_counter_add(&rx->count.bad_desc, 1);
			flags |= MOAT_NET_DESC_ERR;
		} else if (unlikely(!write_frame(work, packet, frames[packet->frame]))) {
			moat_counter_add(&rx->count.dma_faults, 1);
			flags |= MOAT_NET_DESC_ERR;
		}
		if (unlikely(!net_ring_complete(ring, work, packet, &work->lens[packet->first],
			    flags)))
			return p;
	}
	return work->nr_packets;
}

static void deliver(struct net_device *dev, struct net_device_rx *rx, struct rte_mbuf *frames[],
	uint16_t n)
{
	struct net_work work;
	uint16_t done = 0;

	net_work_begin(&work, &rx->engine);
	while (done < n) {
		uint16_t dealt = plan(dev, rx, &work, frames + done, n - done);
		uint16_t wrote = write_all(rx, &work, frames + done);

		if (unlikely(work.ring_refused)) { /* drop the rest, as a NIC does */
			moat_counter_add(&rx->count.ring_faults, 1);
			count_shared(&rx->count.missed, n - done - dealt + work.nr_packets - wrote);
			done = n;
			break;
		}
		if (unlikely(dealt == 0))
			break;
		done += dealt;
	}
	net_work_end(&work);
	rte_pktmbuf_free_bulk(frames, done);
	if (unlikely(done < n)) {
		rx->nr_held = n - done;
		memcpy(rx->held, frames + done, (n - done) * sizeof(frames[0]));
	}
}

void net_device_rx_run(struct net_device *dev, struct net_device_rx *rx, uint16_t n)
{
	struct moat_cost_device cost = moat_cost_device_enter();
	struct rte_mbuf *frames[NET_BURST];
	uint32_t posted = rx->ring.tail - rx->ring.head;
	uint16_t got = 0;

	posted = RTE_MIN(posted, (uint32_t)NET_BURST);
	n = RTE_MIN(n, (uint16_t)posted);
	if (likely(n != 0 && rx->ring.on))
		got = take(dev, rx, frames, n);
	if (got != 0)
		deliver(dev, rx, frames, got);
	/* Relaxed: a hint; net_device_tx_kick() takes the lock that guards ready[]. */
	if (unlikely(__atomic_load_n(&dev->tx_waiting, __ATOMIC_RELAXED) != 0))
		net_device_tx_kick(dev);
	moat_cost_device_leave(cost);
}

/* ------------------------------------------------------------- the device without a poll */

/* Take a burst of frames from a wire, and put each into its queue's FIFO. @return how many */
static uint16_t spread(struct net_device *dev, uint16_t wire)
{
	struct rte_mbuf *frames[NET_BURST];
	uint16_t n;

	if (!rte_spinlock_trylock(&dev->wire[wire].rx_lock))
		return 0;
	n = wire_receive(dev, wire, frames, NET_BURST);
	for (uint16_t i = 0; i < n; i++) {
		uint16_t queue =
			dev->filter.open ? wire : net_filter_queue(&dev->filter, frames[i], wire);

		if (likely(queue < dev->nr_rx)) {
			hand_over(dev, queue, frames[i]);
		} else {
			moat_counter_add(&dev->wire[wire].filtered, queue != NET_QUEUE_DROP);
			rte_pktmbuf_free(frames[i]);
		}
	}
	rte_spinlock_unlock(&dev->wire[wire].rx_lock);
	return n;
}

/* Does the queue have frames? With one queue there is no FIFO to look at: assume that it has. */
static bool waits(const struct net_device_rx *rx)
{
	return rx->fifo == NULL || rx->nr_held != 0 || !rte_ring_empty(rx->fifo);
}

uint16_t net_device_turn(struct net_device *dev)
{
	struct moat_cost_device cost = moat_cost_device_enter();
	uint16_t taken = 0;

	for (uint16_t wire = 0; dev->nr_rx > 1 && wire < dev->nr_wires_rx; wire++)
		taken += spread(dev, wire);
	for (uint16_t q = 0; q < dev->nr_rx; q++) {
		const struct net_device_rx *rx = &dev->rx[q];
		/* Acquire: pairs with moat_net_msi()'s release, which is after msi_data's store. */
		uint64_t address = __atomic_load_n(&rx->msi_address, __ATOMIC_ACQUIRE);

		if (address != 0 && waits(rx))
			moat_softvtd_interrupt(rx->engine.unit, rx->engine.sid, address,
				rx->msi_data);
	}
	/* As in net_device_rx_run(). */
	if (unlikely(__atomic_load_n(&dev->tx_waiting, __ATOMIC_RELAXED) != 0))
		net_device_tx_kick(dev);
	moat_cost_device_leave(cost);
	return taken;
}
