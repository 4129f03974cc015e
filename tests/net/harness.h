/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef TESTS_NET_HARNESS_H
#define TESTS_NET_HARNESS_H

/*
 * Shared by the tests of net_moat: a wire (a net_ring port) on which the test puts frames and from
 * which it takes them, a NIC on that wire, and frames that can be told apart.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "moat_base.h"
#include "moat_net.h"

#define BURST     32
#define WIRE_MAX  4
#define RING_SIZE 256

/** A net_ring port whose other end the test holds. */
struct wire {
	char name[32]; /* of its ethdev */
	uint16_t port;
	uint16_t queues;
	struct rte_ring *in[WIRE_MAX];  /* frames for the NIC */
	struct rte_ring *out[WIRE_MAX]; /* frames from the NIC */
	struct rte_mempool *pool;       /* of the frames put on the wire */
};

void wire_create(struct wire *wire, const char *name, uint16_t queues, unsigned int size);
/** Destroy the wire. Every frame that was put on it must be back. */
void wire_destroy(struct wire *wire);
void wire_put(struct wire *wire, uint16_t queue, const void *frame, uint32_t len);
/** @return the frame's length; 0: there is no frame */
uint32_t wire_take(struct wire *wire, uint16_t queue, void *frame, uint32_t room);
/** Drop the frames that the NIC has sent. @return how many */
unsigned int wire_drain(struct wire *wire);

/** Start EAL without hugepages, root or devices. @return 0, or what main() must return */
int start_eal(const char *name);

/** Create a net_moat port. `args`: all of its arguments. A failure fails the test. */
uint16_t nic_create(const char *name, const char *args);
void nic_destroy(const char *name);
/** Configure `queues` queues each way with `desc` descriptors, and start the port. */
void nic_start(uint16_t port, uint16_t queues, uint16_t desc, struct rte_mempool *pool, int socket,
	const struct rte_eth_conf *conf);
uint64_t nic_xstat(uint16_t port, const char *name);

/** Make a frame whose content depends on `n`. `vlan` < 0: no tag. @return `len` */
uint32_t frame_make(uint8_t *frame, const char *dst, int vlan, uint32_t len, uint32_t n);
/** @return whether this is frame `n`, complete. The Ethernet header is not checked. */
bool frame_is(const uint8_t *frame, int vlan, uint32_t len, uint32_t n);
/** The same for a received packet with any number of segments. */
bool packet_is(const struct rte_mbuf *packet, int vlan, uint32_t len, uint32_t n);

/** Create a pool of ordinary buffers. */
struct rte_mempool *make_pool(const char *name, unsigned int n, uint16_t room);
/** Assert that all of a pool's buffers are in it. */
void assert_pool_full(struct rte_mempool *pool);

/** Capture what DPDK and net_moat log, until log_end(). */
void log_begin(void);
/** @return the captured text; valid until the next log_begin() */
const char *log_end(void);

#define MAC_A     "02:00:00:00:00:0a"
#define MAC_B     "02:00:00:00:00:0b"
#define MAC_ALL   "ff:ff:ff:ff:ff:ff"
#define MAC_GROUP "01:00:5e:00:00:07"

#endif /* TESTS_NET_HARNESS_H */
