/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef TENANT_RIG_H
#define TENANT_RIG_H

/*
 * A tenant in any mode on an adversarial software unit, and a NIC whose two halves the test
 * controls. The PMD is DPDK's unmodified net_ring, so the tenant's callbacks run as with any PMD.
 * The test puts frames for the PMD on the wire (a ring), and takes those that it sends from the
 * wire. What the device can reach is checked with the unit directly.
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "moat_tenant.h"
#include "must.h"
#include "unit_args.h"

#define SID  MOAT_SID(0, 16, 0)
#define BASE UINT64_C(0x10000000)

struct rig {
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	uint16_t port;
	struct rte_ring *wire[2]; /* of queues 0 and 1: sent packets are received again */
	unsigned int buffers;
};

/* One port for all tests of a program. */
static uint16_t rig_port;
static struct rte_ring *rig_wires[2];

static inline int rig_make_port(void **state)
{
	rig_wires[0] = rte_ring_create("wire0", 8192, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	rig_wires[1] = rte_ring_create("wire1", 8192, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	rig_port = rte_eth_from_rings("net_ring_test", rig_wires, 2, rig_wires, 2, SOCKET_ID_ANY);
	return 0;
}

static inline struct moat_tenant_conf rig_conf(const char *name, enum moat_mode mode)
{
	return (struct moat_tenant_conf){
		.name = name,
		.mode = mode,
		.iova_base = BASE,
		.leaf_sizes = UINT64_MAX,
		.numa = SOCKET_ID_ANY,
		.verify = true,
	};
}

/* Memory for the buffers, and the eighth that is the heap. */
static inline uint64_t rig_memory(unsigned int buffers)
{
	return RTE_ALIGN_CEIL(((uint64_t)buffers * 4096 + 2 * MOAT_2M_SIZE) * 5 / 4, MOAT_2M_SIZE);
}

static inline void rig_start_port(struct rig *r)
{
	struct rte_eth_conf conf = { 0 };

	must(rte_eth_dev_configure(r->port, 2, 2, &conf));
	for (uint16_t q = 0; q < 2; q++) {
		must(rte_eth_rx_queue_setup(r->port, q, 512, SOCKET_ID_ANY, NULL, r->pool));
		must(rte_eth_tx_queue_setup(r->port, q, 512, SOCKET_ID_ANY, NULL));
		must(moat_tenant_queue_add(r->tenant, r->port, q));
	}
	must(rte_eth_dev_start(r->port));
}

static inline struct rig *rig_open(const struct moat_tenant_conf *conf, const char *unit_args,
	unsigned int buffers)
{
	struct moat_tenant_conf c = *conf;
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	must(moat_soft_unit_create("soft0", unit_args, &r->unit));
	r->hw = moat_soft_unit_find("soft0");
	r->port = rig_port;
	r->wire[0] = rig_wires[0];
	r->wire[1] = rig_wires[1];
	r->buffers = buffers;
	c.unit = r->unit;
	if (c.memory == 0)
		c.memory = rig_memory(buffers);
	must(moat_tenant_create(&c, &r->tenant));
	must(moat_tenant_pool(r->tenant, "red", buffers, 2176, &r->pool));
	must(moat_tenant_attach(r->tenant, SID));
	rig_start_port(r);
	must(moat_tenant_lcore_enter(r->tenant));
	return r;
}

/* Close the rig. Every buffer must be back: moat_tenant_destroy() counts them. */
static inline void rig_close(struct rig *r)
{
	rte_eth_dev_stop(r->port);
	must(moat_tenant_lcore_leave(r->tenant));
	must(moat_tenant_queue_remove(r->tenant, r->port, 0));
	must(moat_tenant_queue_remove(r->tenant, r->port, 1));
	assert_int_equal(rte_mempool_avail_count(r->pool), r->buffers);
	must(moat_tenant_destroy(r->tenant));
	r->unit->ops->destroy(r->unit);
	free(r);
}

static inline bool rig_writes(struct rig *r, uint64_t iova)
{
	uint8_t byte = 0x99;

	return moat_softvtd_dma_write(r->hw, SID, iova, &byte, 1) == 0;
}

static inline bool rig_reads(struct rig *r, uint64_t iova)
{
	uint8_t byte;

	return moat_softvtd_dma_read(r->hw, SID, iova, &byte, 1) == 0;
}

static inline struct moat_tenant_stats rig_stats(struct rig *r)
{
	struct moat_tenant_stats stats;

	moat_tenant_stats(r->tenant, &stats);
	return stats;
}

static inline struct moat_softvtd_stats rig_unit_stats(struct rig *r)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(r->hw, &stats);
	return stats;
}

/* Take buffers as a PMD's refill does. The device may then write each of them. */
static inline void rig_refill(struct rig *r, struct rte_mbuf *m[], unsigned int n)
{
	while (rte_pktmbuf_alloc_bulk(r->pool, m, n) != 0)
		moat_tenant_poll(r->tenant);
	for (unsigned int i = 0; i < n; i++) {
		m[i]->pkt_len = 64;
		m[i]->data_len = 64;
	}
}

/* The device has filled the buffers: the next rx_burst returns them. */
static inline void rig_arrive(struct rig *r, uint16_t queue, struct rte_mbuf *m[], unsigned int n)
{
	assert_int_equal(rte_ring_enqueue_bulk(r->wire[queue], (void **)m, n, NULL), n);
}

/* The device has sent the packets on the wire, and the PMD frees them. */
static inline unsigned int rig_sent(struct rig *r, uint16_t queue)
{
	struct rte_mbuf *m[64];
	unsigned int n, all = 0;

	while ((n = rte_ring_dequeue_burst(r->wire[queue], (void **)m, 64, NULL)) != 0) {
		rte_pktmbuf_free_bulk(m, n);
		all += n;
	}
	return all;
}

/* An lcore that enters, does not poll, and leaves at the end, as one that has ended its loop. */
struct rig_sleeper {
	struct moat_tenant *tenant;
	pthread_barrier_t barrier;
	pthread_t thread;
};

static inline void *rig_sleep(void *arg)
{
	struct rig_sleeper *s = arg;

	must(rte_thread_register());
	must(moat_tenant_lcore_enter(s->tenant));
	pthread_barrier_wait(&s->barrier);
	pthread_barrier_wait(&s->barrier);
	must(moat_tenant_lcore_leave(s->tenant));
	rte_thread_unregister();
	return NULL;
}

static inline void rig_sleeper_start(struct rig_sleeper *s, struct rig *r)
{
	s->tenant = r->tenant;
	pthread_barrier_init(&s->barrier, NULL, 2);
	assert_int_equal(pthread_create(&s->thread, NULL, rig_sleep, s), 0);
	pthread_barrier_wait(&s->barrier);
}

static inline void rig_sleeper_end(struct rig_sleeper *s)
{
	pthread_barrier_wait(&s->barrier);
	pthread_join(s->thread, NULL);
	pthread_barrier_destroy(&s->barrier);
}

static inline int rig_eal(const char *name)
{
	static char program[64];
	static char *eal[] = { program, (char *)"--no-huge", (char *)"--no-shconf",
		(char *)"--no-pci", (char *)"-m", (char *)"128", (char *)"--log-level=3",
		(char *)"--no-telemetry" };

	snprintf(program, sizeof(program), "%s", name);
	return rte_eal_init(RTE_DIM(eal), eal);
}

#endif /* TENANT_RIG_H */
