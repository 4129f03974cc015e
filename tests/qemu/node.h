/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NODE_H
#define NODE_H

/**
 * @file
 * A tenant with a NIC of its own, as tests in the lab's guest use it: DPDK's unmodified PMD on a
 * PCI function, rings and buffers in the tenant's memory, and frames in which every byte is
 * determined by the sender's colour and a sequence number. One lcore polls all nodes in turn.
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
	const char *name;     /* set these three before node_start() */
	const char *variable; /* of the environment: the PCI function */
	uint8_t colour;

	const char *bdf;
	moat_sid_t sid;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	uint16_t port;
	struct rte_ether_addr mac;
	uint64_t sent, received;
	uint64_t next;    /* least sequence number that the next frame may have: there is one way */
	uint64_t damaged; /* received, and neither a frame of the peer nor foreseen */
	/** May a frame that is not the peer's be there? Counted as `excused`. NULL: never */
	bool (*excuse)(const struct rte_mbuf *m);
	uint64_t excused;
};

/** Start DPDK; it finds no device before node_start() probes one. Exits on failure. */
void node_init(const char *program);
/** Tenant, buffers, port: ready to send and receive. Fails the cmocka test otherwise. */
void node_start(struct node *n, const struct node_conf *conf);
/** And everything back. */
void node_stop(struct node *n);

/** A frame of `n` for `peer`, filled in; NULL: no buffer. */
struct rte_mbuf *node_frame(struct node *n, const struct node *peer);
/** Send up to `count` (at most NODE_BURST) frames. */
void node_send(struct node *n, const struct node *peer, unsigned int count);
/** Receive what there is, check it, free it; poll the tenant. @return number of packets */
unsigned int node_receive(struct node *n, const struct node *peer);

/** Both send to and receive from each other until each has received `packets` more.
 * Fails the test when that does not come to an end. */
void node_exchange(struct node *a, struct node *b, uint64_t packets);

/** The node's device is told to send to the peer what lies at `iova`. */
void node_send_from(struct node *n, const struct node *peer, uint64_t iova);
/** The node's device is told to receive what the peer sends into `iova`, until it has tried; frames
 * are lost meanwhile. Nobody else has a buffer of its pool. */
void node_receive_into(struct node *n, struct node *peer, uint64_t iova);
/** The peer sends as many frames as the node's ring has buffers: every one of them is a new one. */
void node_renew_ring(struct node *n, struct node *peer);

#endif /* NODE_H */
