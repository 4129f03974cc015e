/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_DEVICE_H
#define NET_DEVICE_H

/**
 * @file
 * The device half of net_moat, as its driver half sees it: rings to program, doorbells to ring, and
 * a call that lets the device work for a while on the calling lcore.
 *
 * Inside: a *wire* is a queue of the backing port. Received frames are sorted to queues by the
 * steering table and the address filter; a frame for another queue waits in that queue's FIFO, the
 * device's own packet memory. Any lcore may pull from any wire, under the wire's try-lock: an
 * lcore that does not get it leaves the wire to the one that has it. Frames are then written into
 * the buffers that the queue's descriptors name, by DMA. On transmit frames are read by DMA into
 * the device's own mbufs and put on the wire; what the wire does not take waits in the device, and
 * the ring backs up behind it.
 *
 * Threads: run and doorbell of a queue come from the one lcore that polls it. Everything else is
 * the control path, one thread at a time.
 */

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

#include "moat_net.h"
#include "net_dma.h"
#include "net_filter.h"

/* Frames handled at once. */
#define NET_BURST     64
/* Frames that wait for a queue at most; a power of two. */
#define NET_FIFO_SIZE 512

/* A ring, as programmed into the device. Indices run freely; the mask takes them into the ring. */
struct net_ring {
	uint64_t iova;
	uint32_t mask; /* descriptors - 1 */
	uint32_t head; /* the device's: next to process */
	uint32_t tail; /* the driver's: first not posted */
	bool on;       /* stopped rings are left alone; frames for them are dropped */
};

/* What a queue's lcore counts; others read it as it is. */
struct net_rx_counters {
	uint64_t dma_faults;  /* packets refused by the unit */
	uint64_t ring_faults; /* bursts that ended because the ring itself was refused */
	uint64_t bad_length;  /* empty, longer than the MTU, or than one buffer without scatter */
	uint64_t bad_desc;    /* descriptors that make no sense */
	uint64_t missed;      /* for this queue, and dropped: FIFO full, stopped, ring refused.
			       * Counted by the lcore that pulled them */
};

struct net_tx_counters {
	uint64_t dma_faults;
	uint64_t ring_faults;
	uint64_t bad_desc;
	uint64_t no_memory; /* times the device had no packet memory and left the ring waiting */
	uint64_t busy;      /* times the wire took less than it was offered */
};

struct net_device_rx {
	struct net_ring ring;
	struct net_engine engine;
	uint16_t queue;
	uint16_t wire; /* the wire that this queue polls first */
	uint16_t nr_held;
	bool scatter; /* a packet may take several buffers */
	/* The queue moves to another tenant (net_move.c): it takes no frames from the wires, and
	 * those that others pull for it wait in the FIFO. Written under all wires' locks. */
	bool hold;
	uint32_t line;         /* with `hold`: frames at the FIFO's head that were there before */
	struct rte_ring *fifo; /* NULL with one queue */
	/* Its MSI: a frame waits for it. Address 0: none. Set with release after the data. */
	uint64_t msi_address;
	uint32_t msi_data;
	struct net_rx_counters count;
	struct rte_mbuf *held[NET_BURST]; /* taken, but out of descriptors */
} __rte_cache_aligned;

struct net_device_tx {
	struct net_ring ring;
	struct net_engine engine;
	uint16_t wire;
	uint16_t nr_ready;
	uint16_t nr_spare;
	struct net_tx_counters count;
	struct rte_mbuf *ready[NET_BURST]; /* read, not yet on the wire */
	struct rte_mbuf *spare[NET_BURST]; /* packet memory at hand */
} __rte_cache_aligned;

/* A receive and a transmit queue of the backing port. */
struct net_wire {
	rte_spinlock_t rx_lock; /* the wire's rx queue; together they hold the filter still */
	uint64_t filtered;      /* frames not for this port */
	rte_spinlock_t tx_lock
		__rte_cache_aligned; /* the wire's tx queue, and the ready[] of its users */
} __rte_cache_aligned;

struct net_device {
	uint16_t backing; /* ethdev port id */
	/* The backing port was removed: its number is another port's, or will be. Relaxed: no
	 * lcore may poll a port that is being removed. */
	bool gone;
	uint16_t nr_wires_rx, nr_wires_tx;
	uint16_t nr_rx, nr_tx;
	uint32_t frame_max;       /* bytes, longer ones are dropped on receive */
	struct rte_mempool *pool; /* the device's packet memory, outside every tenant */
	struct net_filter filter;
	uint32_t tx_waiting; /* tx queues with frames in ready[]; see net_device_tx_kick() */
	uint32_t holds;      /* rx queues on `hold`. Written under all wires' locks */
	struct net_device_rx rx[MOAT_NET_QUEUES_MAX];
	struct net_device_tx tx[MOAT_NET_QUEUES_MAX];
	struct net_wire wire[MOAT_NET_QUEUES_MAX];
};

/* ---------------------------------------------------------------------------- control path */

/**
 * Take `nr_rx` and `nr_tx` queues into operation on a backing port that is configured and started
 * with the given numbers of queues.
 * @param name of the port, for the names of FIFOs
 * @return 0, -ENOMEM
 */
int net_device_up(struct net_device *dev, const char *name, uint16_t nr_rx, uint16_t nr_tx);
/** Undo net_device_up(), and drop the frames inside. The backing port must still run, and no lcore
 * may poll the port. */
void net_device_down(struct net_device *dev);

/** Program a ring; it is empty and off. */
void net_device_ring_set(struct net_ring *ring, uint64_t iova, uint32_t size);
/** Drop what waits for a queue that has been switched off; no lcore polls it. */
void net_device_rx_flush(struct net_device *dev, uint16_t queue);
void net_device_tx_flush(struct net_device *dev, uint16_t queue);

/** Draw a line behind the frames that the device has taken for the queue: it gets those, and no
 * others until net_device_rx_unhold(). While its FIFO is full the wires are left alone, so that
 * none is lost. The lcore that polls the queue. */
void net_device_rx_hold(struct net_device *dev, uint16_t queue);
void net_device_rx_unhold(struct net_device *dev, uint16_t queue);

/** Hold all wires still while the filter is changed. */
void net_device_filter_lock(struct net_device *dev);
void net_device_filter_unlock(struct net_device *dev);

/* ------------------------------------------------------------------------------- data path */

/** Tell the device that descriptors up to `tail` are posted. */
static inline void net_device_doorbell(struct net_ring *ring, uint32_t tail)
{
	ring->tail = tail;
}

/** Receive: take up to `n` frames for this queue and write them into posted buffers. */
void net_device_rx_run(struct net_device *dev, struct net_device_rx *rx, uint16_t n);
/** Receive, by itself, for all queues: take frames from the wires into the queues' FIFOs, and
 * interrupt for each queue that has an MSI and frames waiting. Any lcore. @return frames taken */
uint16_t net_device_turn(struct net_device *dev);
/** Transmit: read what is posted and put it on the wire. */
void net_device_tx_run(struct net_device *dev, struct net_device_tx *tx);
/** Offer the wire again what it did not take, on queues where no lcore may transmit for a while.
 * Any lcore. */
void net_device_tx_kick(struct net_device *dev);

#endif /* NET_DEVICE_H */
