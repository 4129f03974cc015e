/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 *
 * The cost of a mode on the driver side of a packet. A burst of buffers is allocated, which maps
 * them. The queue's Rx callback is called, as rte_eth_rx_burst() does: it unmaps, submits, and
 * hands packets on by the mode's rule. The packets are freed, and the tenant is polled. A packet
 * has one 4 KiB page and is not verified. The unit is the software unit; its work as hardware is
 * left out. forward/ also sends each burst, as rte_eth_tx_burst() does: moat's function in front of
 * the driver's maps the buffers, the driver puts the packets on a ring, and the pool unmaps them.
 */
#include <rte_eth_ring.h>
#include <rte_ethdev.h>

#include "moat_bench.h"
#include "moat_soft_unit.h"
#include "moat_tenant.h"

#define BUFFERS 4096
#define RING    4096

struct what {
	enum moat_mode mode;
	uint16_t burst;
	const char *unit_args;
	uint32_t pasid; /* of the device; MOAT_PASID_NONE: only a source-id; 0: not attached */
	bool sends;
	bool watched; /* with the stopwatch on, as in moat-fwd */
	bool plain;   /* peer: DPDK's own pool, without moat */
};

struct bed {
	struct moat_unit *unit;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
	void *rx, *tx; /* the queue's callbacks */
};

/* One port for all benches, for its callbacks. Only benches that send pass packets through it. */
static struct rte_ring *ring;

static int port_id(void)
{
	static int port = -1;

	if (ring == NULL) {
		ring = rte_ring_create("bench_modes", RING, SOCKET_ID_ANY, 0);
		if (ring != NULL)
			port = rte_eth_from_rings("net_ring_bench", &ring, 1, &ring, 1,
				SOCKET_ID_ANY);
	}
	return port;
}

static int set_up_port(struct bed *b, int port)
{
	struct rte_eth_conf conf = { 0 };

	if (port < 0 || rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
		rte_eth_rx_queue_setup(port, 0, 512, SOCKET_ID_ANY, NULL, b->pool) != 0 ||
		rte_eth_tx_queue_setup(port, 0, 512, SOCKET_ID_ANY, NULL) != 0)
		return moat_error(-ENODEV, "no net_ring port");
	if (moat_tenant_queue_add(b->tenant, port, 0) != 0 || rte_eth_dev_start(port) != 0)
		return -ENODEV;
	b->rx = rte_eth_fp_ops[port].rxq.clbk[0];
	b->tx = rte_eth_fp_ops[port].txq.clbk[0];
	return 0;
}

static int make(struct moat_bench_run *run)
{
	struct moat_cost_watch *watch = &RTE_PER_LCORE(moat_cost_watch);
	static struct bed bed;
	const struct what *what = run->param;
	struct moat_tenant_conf conf = {
		.name = "bench",
		.mode = what->mode,
		.memory = 16 * MOAT_2M_SIZE,
		.leaf_sizes = UINT64_MAX,
		.verify = MOAT_VERIFY_OFF,
		.numa = SOCKET_ID_ANY,
	};
	struct bed *b = &bed;

	if (moat_bench_eal() != 0)
		return -1;
	*b = (struct bed){ 0 };
	run->ctx = b;
	run->items = what->burst;
	watch->on = what->watched;
	moat_cost_start(watch);
	if (what->plain) {
		b->pool = rte_pktmbuf_pool_create("bench", BUFFERS, 256, 0, 2176, SOCKET_ID_ANY);
		return b->pool != NULL ? 0 : moat_bench_skip("no memory for a pool");
	}
	if (moat_soft_unit_create("bench", what->unit_args, &b->unit) != 0)
		return moat_bench_skip("%s", moat_error_text());
	conf.unit = b->unit;
	if (moat_tenant_create(&conf, &b->tenant) != 0 ||
		moat_tenant_pool(b->tenant, "bench", BUFFERS, 2176, &b->pool) != 0 ||
		(what->pasid != 0 &&
			moat_tenant_attach_pasid(b->tenant, MOAT_SID(3, 0, 0), what->pasid) != 0) ||
		set_up_port(b, port_id()) != 0 || moat_tenant_lcore_enter(b->tenant) != 0)
		return moat_bench_skip("%s", moat_error_text());
	return 0;
}

static void drop(struct moat_bench_run *run)
{
	struct bed *b = run->ctx;
	struct rte_mbuf *m[32];
	uint16_t n;

	if (b->tenant == NULL) {
		rte_mempool_free(b->pool);
		return;
	}
	while ((n = moat_tenant_held(b->tenant, port_id(), 0, m, 32)) != 0)
		rte_pktmbuf_free_bulk(m, n);
	rte_eth_dev_stop(port_id());
	if (moat_tenant_lcore_leave(b->tenant) != 0 ||
		moat_tenant_queue_remove(b->tenant, port_id(), 0) != 0 ||
		moat_tenant_destroy(b->tenant) != 0)
		abort(); /* a buffer is missing, so the figures of the run are not valid */
	b->unit->ops->destroy(b->unit);
}

/* End a timed section, and subtract the cycles of the device side within it. */
static inline void stop(struct moat_bench_run *run, uint64_t device)
{
	moat_bench_stop(run);
	device = RTE_PER_LCORE(moat_cost_device_cycles) - device;
	run->timed -= RTE_MIN(run->timed, device);
}

static inline uint16_t receive(struct bed *b, struct rte_mbuf *m[], uint16_t n)
{
	return b->rx == NULL ? n : rte_eth_call_rx_callbacks(port_id(), 0, m, n, 64, b->rx);
}

/* Send the burst, and take it from the ring, as a device would that has read the packets. */
static inline void burst_send(struct bed *b, struct rte_mbuf *m[], uint16_t n)
{
	const struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[port_id()];

	if (b->tx != NULL)
		n = rte_eth_call_tx_callbacks(port_id(), 0, m, n, b->tx);
	if (ops->tx_pkt_burst(ops->txq.data[0], m, n) != n ||
		rte_ring_dequeue_bulk(ring, (void **)m, n, NULL) != n)
		abort();
}

static void body(struct moat_bench_run *run, uint64_t n)
{
	const struct what *what = run->param;
	struct bed *b = run->ctx;
	struct rte_mbuf *m[64];
	uint64_t device = RTE_PER_LCORE(moat_cost_device_cycles);
	bool own_pool = what->mode != MOAT_STATIC && what->mode != MOAT_COPY;

	if (own_pool || what->plain)
		moat_bench_start(run);
	for (uint64_t k = 0; k < n; k++) {
		uint16_t got;

		while (unlikely(rte_mempool_get_bulk(b->pool, (void **)m, what->burst) != 0))
			moat_tenant_poll(b->tenant);
		if (!own_pool && !what->plain)
			moat_bench_start(run);
		if (what->mode == MOAT_COPY)
			for (uint16_t i = 0; i < what->burst; i++) {
				m[i]->data_len = 64;
				m[i]->pkt_len = 64;
			}
		got = receive(b, m, what->burst);
		if (what->sends && got != 0)
			burst_send(b, m, got);
		if (!own_pool && !what->plain) {
			moat_tenant_poll(b->tenant);
			stop(run, device);
			device = RTE_PER_LCORE(moat_cost_device_cycles);
		}
		/* as PMDs free a burst of one pool without shared packets */
		if (got != 0)
			rte_mempool_put_bulk(m[0]->pool, (void **)m, got);
		if (own_pool && !what->plain)
			moat_tenant_poll(b->tenant);
	}
	if (own_pool || what->plain)
		stop(run, device);
}

#define QUICK "oracle=0,prefetch=0,jitter=0,linger=0"
#define LATE  QUICK ",latency=2100"

#define MODE(id, text, ...)                               \
	static const struct what what_##id = __VA_ARGS__; \
	MOAT_BENCH(id) = { .name = text,                  \
		.param = &what_##id,                      \
		.setup = make,                            \
		.body = body,                             \
		.teardown = drop }

MODE(rx_static, "modes/rx/static", { .mode = MOAT_STATIC, .burst = 32, .unit_args = QUICK });
MODE(rx_strict, "modes/rx/strict", { .mode = MOAT_STRICT, .burst = 32, .unit_args = QUICK });
MODE(rx_pipelined, "modes/rx/pipelined",
	{ .mode = MOAT_PIPELINED, .burst = 32, .unit_args = QUICK });
MODE(rx_deferred, "modes/rx/deferred", { .mode = MOAT_DEFERRED, .burst = 32, .unit_args = QUICK });
MODE(rx_copy, "modes/rx/copy", { .mode = MOAT_COPY, .burst = 32, .unit_args = QUICK });
MODE(fw_strict, "modes/forward/strict",
	{ .mode = MOAT_STRICT, .burst = 32, .unit_args = QUICK, .sends = true });
MODE(fw_pipelined, "modes/forward/pipelined",
	{ .mode = MOAT_PIPELINED, .burst = 32, .unit_args = QUICK, .sends = true });
MODE(fw_deferred, "modes/forward/deferred",
	{ .mode = MOAT_DEFERRED, .burst = 32, .unit_args = QUICK, .sends = true });
/* The same burst by source-id and by PASID, in either stage and nested. The kind of descriptor
 * differs; the amount of memory invalidated is the same. */
MODE(by_sid, "modes/by_sid/legacy",
	{ .mode = MOAT_PIPELINED, .burst = 32, .unit_args = QUICK, .pasid = MOAT_PASID_NONE });
MODE(by_pasid_second, "modes/by_pasid/second_stage",
	{ .mode = MOAT_PIPELINED,
		.burst = 32,
		.unit_args = QUICK ",scalable=1,mode=scalable,stage=second",
		.pasid = 1 });
MODE(by_pasid_first, "modes/by_pasid/first_stage",
	{ .mode = MOAT_PIPELINED,
		.burst = 32,
		.unit_args = QUICK ",scalable=1,mode=scalable,stage=first",
		.pasid = 1 });
MODE(by_pasid_nested, "modes/by_pasid/nested",
	{ .mode = MOAT_PIPELINED,
		.burst = 32,
		.unit_args = QUICK ",scalable=1,mode=scalable,stage=nested",
		.pasid = 1 });
/* The cost of waiting page by page, with a unit as slow as hardware (rIOMMU, ASPLOS 2015). */
MODE(late_pipelined, "modes/late2100/pipelined",
	{ .mode = MOAT_PIPELINED, .burst = 32, .unit_args = LATE });
MODE(late_by_page, "modes/late2100/strict_by_page",
	{ .mode = MOAT_STRICT, .burst = 1, .unit_args = LATE });
/* The cost of the stopwatch: stages, counts and distributions. */
MODE(watched_pipelined, "modes/watched/pipelined",
	{ .mode = MOAT_PIPELINED, .burst = 32, .unit_args = QUICK, .watched = true });
MODE(plain, "peer/modes/dpdk_pool",
	{ .mode = MOAT_STATIC, .burst = 32, .unit_args = QUICK, .plain = true });
