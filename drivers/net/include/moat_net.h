/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_NET_H
#define MOAT_NET_H

/**
 * @file
 * net_moat: a NIC in software whose every access to memory is DMA through a VT-d unit.
 *
 * It is an ordinary ethdev. Underneath are two halves that share nothing but what a driver and a
 * NIC share: descriptor rings in memory, and doorbells.
 *  - The *driver* half (net_rx.c, net_tx.c) puts IOVAs into descriptors and looks for the done bit.
 *  - The *device* half (net_device_rx.c, net_device_tx.c) sees rings and buffers by IOVA only. It
 *    reads descriptors and packets, and writes packets and done bits, through the unit, under the
 *    source-id of the port (with `requesters=queue`: of the queue; with `requesters=pasid`: of the
 *    port, and a PASID of the queue). If the unit refuses a buffer, its descriptor comes back with
 *    the error bit, and the packet is counted as a fault. Frames come from and go to a *backing
 *    port*, any other ethdev (net_af_packet, net_pcap, ...).
 *
 * The device half runs inside the burst calls of the lcore that polls the queue, and accounts its
 * cycles as device time (lib/cost).
 *
 * This header is what programs need beyond the ethdev API: the descriptor's layout, the requester
 * of a queue's DMA, and a way to misbehave on purpose. A program that calls moat_net_*() is linked
 * with the plugins: -Wl,--no-as-needed -lrte_net_moat -lrte_mempool_moat
 * $(pkg-config --cflags --libs moat), and needs no -d.
 */

#include "moat_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A descriptor, 16 bytes, little-endian. A ring is a power of two of them, starts on a page and
 * shares its pages with nothing else.
 *
 * Receive: the driver posts `addr` and `len` (room) with flags 0. The device fills buffers in ring
 * order, as many as the packet needs, and writes back `len` (bytes written), DD, and EOP on the
 * packet's last one. Transmit: the driver posts `addr`, `len`, and EOP on the packet's last one;
 * the device writes back DD. ERR beside DD: the unit refused the DMA, or a descriptor was invalid;
 * all descriptors of that packet carry ERR, and the packet is lost.
 */
struct moat_net_desc {
	uint64_t addr;     /* IOVA of the buffer */
	uint16_t len;      /* bytes */
	uint16_t flags;    /* MOAT_NET_DESC_* */
	uint32_t reserved; /* 0 */
};

#define MOAT_NET_DESC_DD  0x0001 /* the device has completed it */
#define MOAT_NET_DESC_EOP 0x0002 /* last buffer of a packet */
#define MOAT_NET_DESC_ERR 0x0004 /* with DD: DMA refused, or descriptor invalid */

/** Descriptors of a ring: a power of two from MIN to MAX. */
#define MOAT_NET_RING_MIN   64
#define MOAT_NET_RING_MAX   4096
/** Most buffers of one packet, either way. */
#define MOAT_NET_SEGS_MAX   40
/** Most queues of a port. */
#define MOAT_NET_QUEUES_MAX 64
/** Largest frame, without CRC. */
#define MOAT_NET_FRAME_MAX  9728

/** Marks the functions that the plugin exports. */
#define MOAT_NET_API __attribute__((visibility("default")))

/** A port as its unit sees it. */
struct moat_net_info {
	char unit[32];     /* name of the unit */
	bool private_unit; /* net_moat made it, with a domain of all of DPDK's memory */
	bool requester_per_queue;
	moat_sid_t sid; /* the port's; with requester_per_queue, queue i has sid + i */
	/* in each direction */
	uint16_t queues;
	uint16_t backing_port; /* ethdev port id */
};

/**
 * Get a port's unit, source-ids and backing port.
 *
 * @param port as ethdev numbers it
 * @param info receives the answer
 * @return 0
 * @return -ENODEV: `port` is not a net_moat port
 *
 * moat_error_text() has the sentence. Thread-safe, while the port exists. Control path.
 */
MOAT_NET_API int moat_net_info(uint16_t port, struct moat_net_info *info);

/**
 * Get the source-id of a queue's DMA, receive and transmit, to pass it to moat_tenant_attach().
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param sid receives the source-id
 * @return 0
 * @return -ENODEV: `port` is not a net_moat port
 * @return -EINVAL: the port has no such queue
 *
 * moat_error_text() has the sentence. Thread-safe, while the port exists. Control path.
 */
MOAT_NET_API int moat_net_queue_sid(uint16_t port, uint16_t queue, moat_sid_t *sid);

/**
 * Get the PASID of a queue's DMA.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param pasid receives the PASID; MOAT_PASID_NONE without `requesters=pasid`
 * @return as moat_net_queue_sid()
 *
 * Thread-safe, while the port exists. Control path.
 */
MOAT_NET_API int moat_net_queue_pasid(uint16_t port, uint16_t queue, uint32_t *pasid);

/**
 * Misbehave as a compromised tenant would: put an address of the caller's choice into the
 * descriptor that the device fills next. The packet that arrives next is written there, if the unit
 * lets it.
 *
 * It takes effect in that queue's next rte_eth_rx_burst() (of any size, on any lcore) that finds a
 * descriptor posted. No buffer is lost, whichever way it ends.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param iova the address
 * @return 0
 * @return -EAGAIN: the last request has not taken effect yet
 * @return -ENODEV: `port` is not a net_moat port
 * @return -EINVAL: the port has no such queue
 *
 * Thread safety: one thread at a time for a queue; another lcore may poll it. Control path.
 */
MOAT_NET_API int moat_net_post_rx(uint16_t port, uint16_t queue, uint64_t iova);

/**
 * Misbehave likewise on the transmit side: post a packet of `len` bytes at an address of the
 * caller's choice. What lies there is sent, if the unit lets it. It takes effect as
 * moat_net_post_rx() does, in the next rte_eth_tx_burst().
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param iova the address
 * @param len bytes, 1 to MOAT_NET_FRAME_MAX
 * @return as moat_net_post_rx(), and
 * @return -EINVAL: `len` is out of range
 *
 * Thread safety: one thread at a time for a queue; another lcore may poll it. Control path.
 */
MOAT_NET_API int moat_net_post_tx(uint16_t port, uint16_t queue, uint64_t iova, uint16_t len);

/**
 * Let the device interrupt, as its firmware would on behalf of a queue: it writes `data` to
 * `address`, whatever those are. With the address and data that moat_tenant_interrupt() gave for
 * the queue's requester, the interrupt is the queue's MSI; with any others it is forged.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param address 0xfee00000 to 0xfeefffff
 * @param data what is written
 * @return 0: delivered
 * @return 0x20 to 0x28: the unit refused it; the value is the fault reason that the unit records
 * @return -ENODEV: `port` is not a net_moat port
 * @return -EINVAL: the port has no such queue, or an address outside the range
 *
 * Thread-safe, while the port exists. Control path.
 */
MOAT_NET_API int moat_net_interrupt(uint16_t port, uint16_t queue, uint64_t address, uint32_t data);

/**
 * Program a queue's MSI, which the device sends when frames wait for the queue. Only
 * moat_net_turn() sends it; a program that polls the queue needs no interrupt.
 *
 * @param port as ethdev numbers it
 * @param queue the port's
 * @param address as moat_tenant_interrupt() or moat_tenant_interrupt_post() gave it; 0: no MSI
 * @param data as the same call gave it
 * @return 0
 * @return -ENODEV: `port` is not a net_moat port
 * @return -EINVAL: the port has no such queue
 *
 * Thread safety: one thread for each queue. Control path.
 */
MOAT_NET_API int moat_net_msi(uint16_t port, uint16_t queue, uint64_t address, uint32_t data);

/**
 * Let the device work as hardware does without polling: it takes frames from the wire into the
 * queues' own memory, and interrupts for each queue that has an MSI and frames waiting.
 * rte_eth_rx_burst() then receives those frames, so a program may leave a queue unpolled until it
 * interrupts. A port of one queue has no memory for frames, and interrupts in every turn.
 *
 * @param port as ethdev numbers it
 * @return frames taken
 * @return -ENODEV: `port` is not a net_moat port
 *
 * Any lcore. Data path.
 */
MOAT_NET_API int moat_net_turn(uint16_t port);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_NET_H */
