/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NODE_H
#define NODE_H

/**
 * @file
 * A tenant with a NIC of its own, for tests in the lab's guest: DPDK's unmodified PMD on a PCI
 * function, rings and buffers in the tenant's memory, and frames in which every byte depends on the
 * sender's colour and a sequence number. One lcore polls all nodes in turn.
 */

#include <rte_ethdev.h>
#include <rte_ether.h>

#include "machine.h"
#include "moat_tenant.h"

#define NODE_HOME  UINT64_C(0x40000000) /* every node's memory begins there */
#define NODE_RING  512
#define NODE_BURST 32
#define NODE_FRAME 128

struct node_conf {
	struct moat_unit *unit;
	enum moat_mode mode;
	uint64_t memory; /* bytes */
	uint64_t leaf_sizes;
	unsigned int buffers;
};

struct node {
	const char *name;     /* set this and the next two before node_start() */
	const char *variable; /* environment variable with the PCI function */
	uint8_t colour;

	const char *bdf;
	moat_sid_t sid;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	uint16_t port;
	struct rte_ether_addr mac;
	uint64_t sent, received;
	uint64_t next;    /* least sequence number of the next frame: frames keep their order */
	uint64_t damaged; /* received frames that are neither the peer's nor excused */
	/** May a frame be there that is not the peer's? If so it counts as `excused`. NULL:
	 * never */
	bool (*excuse)(const struct rte_mbuf *m);
	uint64_t excused;
};

/** Start DPDK. It finds no device before node_start() probes one. Exits on failure. */
void node_init(const char *program);
/** Make tenant, buffers and port, ready to send and receive. A failure fails the cmocka test. */
void node_start(struct node *n, const struct node_conf *conf);
/** Undo node_start(). Everything must be back. */
void node_stop(struct node *n);

/** @return frame `n` for `peer`; NULL: there is no buffer */
struct rte_mbuf *node_frame(struct node *n, const struct node *peer);
/** Send up to `count` (at most NODE_BURST) frames. */
void node_send(struct node *n, const struct node *peer, unsigned int count);
/** Receive all packets that are there, check and free them, and poll the tenant. @return how
 * many */
unsigned int node_receive(struct node *n, const struct node *peer);

/** Let both send to and receive from each other until each has received `packets` more. Fails the
 * test if that does not end. */
void node_exchange(struct node *a, struct node *b, uint64_t packets);

/** Let the node's device send to the peer what lies at `iova`. */
void node_send_from(struct node *n, const struct node *peer, uint64_t iova);
/** Let the node's device receive the peer's frames into `iova`, until it has tried; these frames
 * are lost. No other user may have a buffer of its pool. */
void node_receive_into(struct node *n, struct node *peer, uint64_t iova);
/** Let the peer send as many frames as the node's ring has buffers, so that the ring then has only
 * new buffers. */
void node_renew_ring(struct node *n, struct node *peer);

#endif /* NODE_H */
