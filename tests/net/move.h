/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef TESTS_NET_MOVE_H
#define TESTS_NET_MOVE_H

/*
 * A port whose queues move from tenant to tenant (moat_tenant_move.h), for test_move.c and
 * test_unmoved.c. Each frame contains its tenant, its queue and its number. Each packet is checked
 * against these and against its pool. The unit is an adversary.
 */

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_random.h>

#include "../must.h"
#include "../unit_args.h"
#include "harness.h"
#include "moat_soft_unit.h"
#include "moat_softvtd.h"
#include "moat_tenant_move.h"

#define SID     MOAT_SID(0, 0x10, 0)
#define TENANTS 4
#define QUEUES  4
#define DESCS   64 /* a ring wraps around several times between two moves */
#define BUFFERS 1536
#define HEADER  18 /* Ethernet and a VLAN tag; then follow tenant, queue and number */
#define KEPT    16

struct fixture {
	struct wire wire;
	uint16_t port;
	struct moat_unit *unit;
	struct moat_softvtd *hw;
	struct moat_tenant *tenant[TENANTS];
	struct rte_mempool *pool[TENANTS];
	uint64_t base[TENANTS];
	unsigned int nr_tenants;
	bool by_pasid, apart;
	unsigned int owner[QUEUES]; /* number of the queue's tenant */
	uint32_t put[QUEUES], got[QUEUES];
	unsigned int sent, refused_tries;
	struct rte_mbuf *kept[KEPT]; /* packets that the application keeps for a while */
	struct rte_mempool *clones;
	unsigned int cloned, chained, in_pieces; /* packets sent or received so */
	uint64_t *gaps;                          /* in TSC cycles, of each move */
	unsigned int moves;
};

/* ---------------------------------------------------------------------------------- the fixture */

enum requesters { BY_PORT, BY_QUEUE, BY_PASID };

static inline void queue_up(struct fixture *f, uint16_t q, unsigned int t)
{
	int socket = moat_tenant_socket(f->tenant[t]);

	assert_int_equal(rte_eth_rx_queue_setup(f->port, q, DESCS, socket, NULL, f->pool[t]), 0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, q, DESCS, socket, NULL), 0);
	must(moat_tenant_queue_add(f->tenant[t], f->port, q));
	f->owner[q] = t;
}

static inline void tenant_up(struct fixture *f, unsigned int t, enum moat_mode mode)
{
	struct moat_tenant_conf conf = { .mode = mode,
		.memory = 12 << 20,
		.iova_base = f->apart ? (UINT64_C(1) << 34) * (t + 1) : UINT64_C(1) << 34,
		.deferred_pages = 64,
		.unit = f->unit };
	char name[16];

	snprintf(name, sizeof(name), "t%u", t);
	conf.name = name;
	f->base[t] = conf.iova_base;
	must(moat_tenant_create(&conf, &f->tenant[t]));
	must(moat_tenant_pool(f->tenant[t], name, BUFFERS, 2176, &f->pool[t]));
	must(moat_tenant_lcore_enter(f->tenant[t]));
}

static inline void requester_of(const struct fixture *f, uint16_t q, moat_sid_t *sid,
	uint32_t *pasid)
{
	must(moat_net_queue_sid(f->port, q, sid));
	must(moat_net_queue_pasid(f->port, q, pasid));
}

/* Open a port on which queue q belongs to tenant q, or to two tenants alternately. `apart`: no two
 * tenants have the same IOVAs. */
static inline struct fixture *open_rig(const char *unit, enum requesters by,
	const enum moat_mode modes[], unsigned int tenants, bool apart)
{
	static const char *const words[] = { "port", "queue", "pasid" };
	struct fixture *f = calloc(1, sizeof(*f));
	struct rte_eth_conf eth = {
		.rxmode = { .mtu = 9000, .offloads = RTE_ETH_RX_OFFLOAD_SCATTER },
		.txmode = { .offloads = RTE_ETH_TX_OFFLOAD_MULTI_SEGS },
	};
	char args[256];

	assert_non_null(f);
	f->clones = make_pool("clones", 2047, 0);
	f->nr_tenants = tenants;
	f->apart = apart;
	wire_create(&f->wire, "w", 1, 1024);
	must(moat_soft_unit_create("soft0", unit, &f->unit));
	f->hw = moat_soft_unit_find("soft0");
	snprintf(args, sizeof(args),
		"port=net_ring_w,unit=soft0,sid=00:10.0,queues=4,requesters=%s,"
		"steer=100/0,steer=101/1,steer=102/2,steer=103/3",
		words[by]);
	f->port = nic_create("net_moat0", args);
	assert_int_equal(rte_eth_dev_configure(f->port, QUEUES, QUEUES, &eth), 0);
	for (unsigned int t = 0; t < tenants; t++)
		tenant_up(f, t, modes[t]);
	for (uint16_t q = 0; q < QUEUES; q++) {
		unsigned int t = by == BY_PORT ? 0 : q % tenants;
		moat_sid_t sid;
		uint32_t pasid;

		requester_of(f, q, &sid, &pasid);
		if (by != BY_PORT || q == 0)
			must(moat_tenant_attach_pasid(f->tenant[t], sid, pasid));
		queue_up(f, q, t);
	}
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	rte_eth_promiscuous_enable(f->port);
	return f;
}

#define SCALABLE(stage) UNIT_ADVERSARY ",scalable=1,mode=scalable,stage=" stage

static inline void close_rig(struct fixture *f)
{
	struct moat_softvtd_stats stats;

	for (unsigned int i = 0; i < KEPT; i++)
		rte_pktmbuf_free(f->kept[i]);
	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	for (uint16_t q = 0; q < QUEUES; q++)
		must(moat_tenant_queue_remove(f->tenant[f->owner[q]], f->port, q));
	for (unsigned int t = 0; t < f->nr_tenants; t++)
		must(moat_tenant_lcore_leave(f->tenant[t]));
	nic_destroy("net_moat0");
	for (unsigned int t = 0; t < f->nr_tenants; t++) {
		assert_pool_full(f->pool[t]);
		must(moat_tenant_destroy(f->tenant[t]));
	}
	moat_softvtd_stats(f->hw, &stats);
	assert_int_equal(stats.early_reuse, 0);
	assert_int_equal(stats.witness_errors, 0);
	f->unit->ops->destroy(f->unit);
	wire_destroy(&f->wire);
	assert_pool_full(f->clones);
	rte_mempool_free(f->clones);
	free(f->gaps);
	free(f);
}

static inline void assert_none_stale(const struct fixture *f)
{
	struct moat_softvtd_stats stats;

	moat_softvtd_stats(f->hw, &stats);
	assert_int_equal(stats.stale_dma, 0);
}

/* ------------------------------------------------------------------------------------- traffic */

#define FRAME_MOST 9000

/* Make a frame; one in 16 is so long that it takes two or three buffers. @return its length */
static inline uint32_t fill(uint8_t frame[FRAME_MOST], uint16_t q, unsigned int tenant,
	uint32_t number)
{
	uint32_t len = 64 + (number * 37 + q) % 400;

	if (number % 16 == 5)
		len += 4000 + number % 4096;
	frame_make(frame, MAC_A, 100 + q, len, number);
	frame[HEADER] = (uint8_t)tenant;
	frame[HEADER + 1] = (uint8_t)q;
	memcpy(&frame[HEADER + 2], &number, sizeof(number));
	return len;
}

static inline bool put(struct fixture *f, uint16_t q, unsigned int tenant)
{
	uint8_t frame[FRAME_MOST];
	uint32_t len;

	if (rte_ring_free_count(f->wire.in[0]) < 2 || rte_mempool_avail_count(f->wire.pool) < 64)
		return false;
	len = fill(frame, q, tenant, f->put[q]++);
	wire_put(&f->wire, 0, frame, len);
	return true;
}

/* Run the device until it has taken all frames from the wire. */
static inline void sort_wire(const struct fixture *f)
{
	while (moat_net_turn(f->port) != 0)
		;
}

static inline void judge(struct fixture *f, uint16_t q, unsigned int tenant,
	const struct rte_mbuf *m)
{
	uint8_t bytes[FRAME_MOST], expected[FRAME_MOST];
	const uint8_t *frame = rte_pktmbuf_read(m, 0, m->pkt_len, bytes);
	uint32_t number, len = fill(expected, q, tenant, f->got[q]);

	memcpy(&number, &frame[HEADER + 2], sizeof(number));
	assert_int_equal(frame[HEADER], tenant);
	assert_int_equal(frame[HEADER + 1], q);
	assert_int_equal(number, f->got[q]);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(frame, expected, len);
	for (const struct rte_mbuf *s = m; s != NULL; s = s->next) {
		for (unsigned int t = 0; t < f->nr_tenants; t++)
			if (t != tenant)
				assert_ptr_not_equal(s->pool, f->pool[t]);
		if (moat_tenant_mode(f->tenant[tenant]) != MOAT_COPY)
			assert_ptr_equal(s->pool, f->pool[tenant]);
	}
	f->in_pieces += m->nb_segs > 1;
	f->got[q]++;
}

static inline bool send_one(struct fixture *f, uint16_t q, struct rte_mbuf *m)
{
	bool sent = rte_eth_tx_burst(f->port, q, &m, 1) == 1;

	if (!sent)
		rte_pktmbuf_free(m);
	f->sent += sent;
	return sent;
}

/* Send a clone: the application keeps the packet while the device has the clone. */
static inline void send_clone(struct fixture *f, uint16_t q, struct rte_mbuf *m)
{
	struct rte_mbuf *clone = rte_pktmbuf_clone(m, f->clones);

	if (clone != NULL)
		f->cloned += send_one(f, q, clone);
}

/* Send the packet in a chain with a kept one of the same tenant. The device may also have a clone
 * of the kept packet. */
static inline void send_chain(struct fixture *f, uint16_t q, struct rte_mbuf *m,
	struct rte_mbuf **kept)
{
	if (*kept != NULL && (*kept)->pool == m->pool &&
		m->pkt_len + (*kept)->pkt_len < FRAME_MOST && rte_pktmbuf_chain(m, *kept) == 0) {
		*kept = NULL;
		f->chained++;
	}
	send_one(f, q, m);
}

static inline void keep(struct rte_mbuf **kept, struct rte_mbuf *m)
{
	rte_pktmbuf_free(*kept);
	*kept = m;
}

/* The application sends most packets, keeps some for a while, and drops some. */
static inline void use(struct fixture *f, uint16_t q, struct rte_mbuf *m)
{
	struct rte_mbuf **kept = &f->kept[rte_rand_max(KEPT)];

	switch (rte_rand_max(10)) {
	case 0:
		rte_pktmbuf_free(m);
		break;
	case 1:
		keep(kept, m);
		break;
	case 2:
		send_clone(f, q, m);
		keep(kept, m);
		break;
	case 3:
		send_clone(f, q, m);
		send_one(f, q, m);
		break;
	case 4:
	case 5:
		send_chain(f, q, m, kept);
		break;
	default:
		send_one(f, q, m);
	}
}

static inline void poll_queue(struct fixture *f, uint16_t q)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = rte_eth_rx_burst(f->port, q, m, BURST);

	for (uint16_t i = 0; i < n; i++) {
		judge(f, q, f->owner[q], m[i]);
		use(f, q, m[i]);
	}
	moat_tenant_poll(f->tenant[f->owner[q]]);
}

static inline void poll_all(struct fixture *f)
{
	for (uint16_t q = 0; q < QUEUES; q++)
		poll_queue(f, q);
	for (unsigned int t = 0; t < f->nr_tenants; t++)
		moat_tenant_poll(f->tenant[t]);
}

/* Poll until all frames that were put on the wire have arrived. */
static inline void settle(struct fixture *f)
{
	uint64_t end = rte_rdtsc() + 20 * rte_get_tsc_hz();
	bool all = false;

	while (!all && rte_rdtsc() < end) {
		poll_all(f);
		f->sent -= wire_drain(&f->wire);
		all = f->sent == 0;
		for (uint16_t q = 0; q < QUEUES; q++)
			all = all && f->got[q] == f->put[q];
	}
	for (uint16_t q = 0; q < QUEUES; q++)
		assert_int_equal(f->got[q], f->put[q]);
	assert_int_equal(f->sent, 0);
}

static inline void assert_nothing_lost(const struct fixture *f)
{
	struct rte_eth_stats stats;

	assert_int_equal(rte_eth_stats_get(f->port, &stats), 0);
	assert_int_equal(stats.imissed, 0);
	assert_int_equal(stats.ierrors, 0);
	assert_int_equal(stats.oerrors, 0);
}

/* -------------------------------------------------------------------------------------- moving */

static inline void note_gap(struct fixture *f, uint64_t gap)
{
	f->gaps = realloc(f->gaps, (f->moves + 1) * sizeof(*f->gaps));
	assert_non_null(f->gaps);
	f->gaps[f->moves++] = gap;
}

static inline int by_size(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static inline double us(uint64_t cycles)
{
	return (double)cycles / (double)rte_get_tsc_hz() * 1e6;
}

static inline void say_gaps(struct fixture *f)
{
	unsigned int packets = 0;

	if (f->moves == 0)
		return;
	for (uint16_t q = 0; q < QUEUES; q++)
		packets += f->got[q];
	qsort(f->gaps, f->moves, sizeof(f->gaps[0]), by_size);
	print_message(
		"# %u moves, %u packets (%u in several buffers; %u clones sent, %u chains): gaps of "
		"%.1f us (median), %.1f us (of 99 %%), %.1f us (the longest)\n",
		f->moves, packets, f->in_pieces, f->cloned, f->chained, us(f->gaps[f->moves / 2]),
		us(f->gaps[f->moves * 99 / 100]), us(f->gaps[f->moves - 1]));
}

struct crossing {
	struct fixture *f;
	uint16_t q;
	unsigned int from, to;
	bool traffic; /* the new tenant has frames in the gap */
};

/* Called in the gap with the old tenant's last packets. The wire then brings the new tenant's first
 * frames. */
static inline void last_ones(struct rte_mbuf *pkts[], uint16_t n, void *arg)
{
	struct crossing *c = arg;

	for (uint16_t i = 0; i < n; i++) {
		judge(c->f, c->q, c->from, pkts[i]);
		use(c->f, c->q, pkts[i]);
	}
	for (unsigned int i = 0; c->traffic && i < 12; i++)
		put(c->f, c->q, c->to);
	/* Another queue's poll sorts the frames into the FIFOs. */
	if (c->traffic)
		poll_queue(c->f, (c->q + 1) % QUEUES);
}

static inline int try_move(struct fixture *f, uint16_t q, unsigned int to, bool traffic,
	struct moat_queue_move *done)
{
	struct crossing c = { f, q, f->owner[q], to, traffic };
	struct moat_queue_move move = { .pool = f->pool[to], .deliver = last_ones, .arg = &c };
	int rc = moat_tenant_queue_move(f->tenant[f->owner[q]], f->tenant[to], f->port, q, &move);

	if (done != NULL)
		*done = move;
	if (rc == 0) {
		f->owner[q] = to;
		note_gap(f, move.gap);
	}
	return rc;
}

static inline void no_faults(const struct fixture *f)
{
	struct moat_fault fault;

	if (f->unit->ops->faults(f->unit, &fault, 1) != 0)
		fail_msg("refused: IOVA 0x%" PRIx64 ", reason %u", fault.iova,
			(unsigned int)fault.reason);
}

#endif /* TESTS_NET_MOVE_H */
