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
/* Frames in a queue's FIFO; a power of two. */
#define NET_FIFO_SIZE 512

/* A ring, as programmed into the device. Indices run freely; `mask` reduces them to a slot. */
struct net_ring {
	uint64_t iova;
	uint32_t mask; /* descriptors - 1 */
	uint32_t head; /* written by the device: next descriptor to process */
	uint32_t tail; /* written by the driver: first descriptor not posted */
	bool on;       /* the device does not touch a ring that is off; frames for it are dropped */
};

/* Counters that the lcore that polls the queue adds to; any thread may read them. */
struct net_rx_counters {
	uint64_t dma_faults;  /* packets refused by the unit */
	uint64_t ring_faults; /* bursts that ended because the unit refused the ring itself */
	uint64_t bad_length;  /* frames that are empty, or longer than the MTU or, without scatter,
			       * than one buffer */
	uint64_t bad_desc;    /* packets with an invalid descriptor */
	uint64_t missed;      /* frames for this queue that were dropped: FIFO full, stopped, or
			       * ring refused. The lcore that took them from the wire counts them */
};

struct net_tx_counters {
	uint64_t dma_faults;
	uint64_t ring_faults;
	uint64_t bad_desc;
	uint64_t no_memory; /* times that the ring had to wait for the device's packet memory */
	uint64_t busy;      /* times that the wire took fewer frames than it was offered */
};

struct net_device_rx {
	struct net_ring ring;
	struct net_engine engine;
	uint16_t queue;
	uint16_t wire; /* the wire that this queue polls first */
	uint16_t nr_held;
	bool scatter; /* a packet may take several buffers */
	/* The queue moves to another tenant (net_move.c): it takes no frames from the wires, and
	 * those that other lcores take for it wait in the FIFO. Written under all wires' locks. */
	bool hold;
	uint32_t line;         /* frames in the FIFO since before `hold` was set */
	struct rte_ring *fifo; /* NULL with one queue */
	/* The queue's MSI, sent if frames wait. Address 0: none; stored with release, after the
	 * data. */
	uint64_t msi_address;
	uint32_t msi_data;
	struct net_rx_counters count;
	struct rte_mbuf *held[NET_BURST]; /* from the wire, waiting for descriptors */
} __rte_cache_aligned;

struct net_device_tx {
	struct net_ring ring;
	struct net_engine engine;
	uint16_t wire;
	uint16_t nr_ready;
	uint16_t nr_spare;
	struct net_tx_counters count;
	struct rte_mbuf *ready[NET_BURST]; /* read, not yet on the wire */
	struct rte_mbuf *spare[NET_BURST]; /* empty packet memory for the next frames */
} __rte_cache_aligned;

/* A receive and a transmit queue of the backing port. */
struct net_wire {
	rte_spinlock_t rx_lock; /* guards the wire's rx queue; all of them guard the filter */
	uint64_t filtered;      /* frames not for this port */
	rte_spinlock_t tx_lock
		__rte_cache_aligned; /* guards the wire's tx queue, and ready[] of its users */
} __rte_cache_aligned;

struct net_device {
	uint16_t backing; /* ethdev port id */
	/* The backing port was removed; its number may belong to another port. Relaxed: no lcore
	 * may poll a port that is being removed. */
	bool gone;
	uint16_t nr_wires_rx, nr_wires_tx;
	uint16_t nr_rx, nr_tx;
	uint32_t frame_max;       /* bytes; longer frames are dropped on receive */
	struct rte_mempool *pool; /* the device's packet memory, outside every tenant */
	struct net_filter filter;
	uint32_t tx_waiting; /* tx queues with frames in ready[]; see net_device_tx_kick() */
	uint32_t holds;      /* rx queues with `hold` set; written under all wires' locks */
	struct net_device_rx rx[MOAT_NET_QUEUES_MAX];
	struct net_device_tx tx[MOAT_NET_QUEUES_MAX];
	struct net_wire wire[MOAT_NET_QUEUES_MAX];
};

/* ---------------------------------------------------------------------------- control path */

/**
 * Take `nr_rx` and `nr_tx` queues into operation. The backing port must be started, with
 * dev->nr_wires_rx and dev->nr_wires_tx queues.
 * @param name the port's, for the names of FIFOs
 * @return 0, -ENOMEM, -ENAMETOOLONG
 */
int net_device_up(struct net_device *dev, const char *name, uint16_t nr_rx, uint16_t nr_tx);
/** Undo net_device_up(), and drop the frames in the device. The backing port must still run, and no
 * lcore may poll the port. */
void net_device_down(struct net_device *dev);

/** Program a ring of `size` descriptors, empty and off. */
void net_device_ring_set(struct net_ring *ring, uint64_t iova, uint32_t size);
/** Drop the frames in the device that wait for a queue. Its ring must be off, and no lcore may poll
 * the queue. */
void net_device_rx_flush(struct net_device *dev, uint16_t queue);
void net_device_tx_flush(struct net_device *dev, uint16_t queue);

/** Deliver to the queue only the frames that the device has taken for it so far, and no others
 * until net_device_rx_unhold(). While its FIFO lacks room no wire is polled, so that no frame is
 * lost. Must be called by the lcore that polls the queue. */
void net_device_rx_hold(struct net_device *dev, uint16_t queue);
void net_device_rx_unhold(struct net_device *dev, uint16_t queue);

/** Take the receive locks of all wires, so that the filter may be changed. */
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
/** Receive for all queues, though no lcore polls them: take frames from the wires into the queues'
 * FIFOs, and send the MSI of each queue that has one and frames waiting. Any lcore.
 * @return frames taken */
uint16_t net_device_turn(struct net_device *dev);
/** Transmit: read what is posted and put it on the wire. */
void net_device_tx_run(struct net_device *dev, struct net_device_tx *tx);
/** Offer each queue's wire again the frames that it did not take; the queue's lcore may not
 * transmit for a while. Any lcore. */
void net_device_tx_kick(struct net_device *dev);

#endif /* NET_DEVICE_H */
