/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_tenant_size.h; doc/sizing.md has the reasons. */

#include <errno.h>

#include "held.h"
#include "moat_tenant_size.h"
#include "pool_impl.h"

#define CACHE 384 /* most buffers in an lcore's DPDK cache: 1.5 times its size, 256 */

static uint32_t or_else(uint32_t given, uint32_t otherwise)
{
	return given != 0 ? given : otherwise;
}

/* Number of one lcore's buffers that wait for tickets. A double is exact for any size that a pool
 * can have, and does not overflow for larger sums. */
static double waiting(const struct moat_tenant_size *size, uint32_t lcores, double burst)
{
	uint64_t pages = RTE_ALIGN_CEIL((uint64_t)or_else(size->data_room, 1), MOAT_PAGE_SIZE) >>
		MOAT_PAGE_SHIFT;
	uint64_t window = or_else(size->deferred_pages, MOAT_DEFERRED_PAGES) / pages;
	uint64_t queues = ((uint64_t)or_else(size->queues, 1) + lcores - 1) / lcores;
	double turn = (double)queues * burst;
	uint32_t answer = or_else(size->latency, 2100) / or_else(size->cycles, 100);
	/* Packets in batches of one burst each: those that coalesce, and as many in flight. */
	double batches = 2 * burst *
		(lcores > 1 || size->contended ? MOAT_LANE_TOGETHER_CROWDED : MOAT_LANE_TOGETHER);

	switch (size->mode) {
	case MOAT_STRICT: /* only packets that were sent: received ones have waited already */
		return turn + answer + batches;
	case MOAT_PIPELINED: /* packets that were received, and packets that were sent */
		return 2 * (turn + answer + batches);
	case MOAT_DEFERRED: /* one open window, and one in flight */
		return turn + answer + 2 * ((double)window + burst);
	default:
		return 0;
	}
}

unsigned int moat_tenant_pool_size(const struct moat_tenant_size *size)
{
	uint32_t lcores;
	double burst, n;

	if (size == NULL) {
		moat_error(-EINVAL, "moat_tenant_pool_size(): the size is NULL");
		return 0;
	}
	if ((unsigned int)size->mode >= MOAT_MODES) {
		moat_error(-EINVAL,
			"moat_tenant_pool_size(): mode %d does not exist; set 0 (static) to %d (%s)",
			(int)size->mode, MOAT_MODES - 1, moat_mode_name(MOAT_MODES - 1));
		return 0;
	}
	lcores = or_else(size->lcores, 1);
	burst = or_else(size->burst, 32);
	n = (double)size->rx_descriptors + size->tx_descriptors + size->kept +
		lcores * (2 * burst + waiting(size, lcores, burst));
	/* DPDK's caches together keep less than 3/8 of the pool: cache_size() in pool_make.c. */
	if (size->mode == MOAT_STATIC || size->mode == MOAT_COPY)
		n += RTE_MIN((double)CACHE * lcores, n * 3 / 5);
	return (unsigned int)RTE_MIN(n, (double)UINT32_MAX);
}

/* Bytes: the largest descriptor of any driver's rings; and room for the heap's own bookkeeping and
 * the alignment of memzones. */
#define RING_ENTRY 64
#define HEAP_SPARE 65536

uint64_t tenant_memory_for(uint64_t memory, uint64_t rings, uint64_t pools)
{
	while (tenant_heap_size(memory) < rings || memory - tenant_heap_size(memory) < pools)
		memory += MOAT_2M_SIZE;
	return memory;
}

uint64_t moat_tenant_memory_size(const struct moat_tenant_size *size, unsigned int buffers)
{
	unsigned int n = buffers != 0 ? buffers : moat_tenant_pool_size(size);
	uint64_t rings, pool;

	if (size == NULL || n == 0) /* moat_tenant_pool_size() has said why */
		return moat_tenant_pool_size(size);
	rings = HEAP_SPARE + ((uint64_t)size->rx_descriptors + size->tx_descriptors) * RING_ENTRY +
		or_else(size->queues, 1) * 6 * MOAT_PAGE_SIZE;
	pool = n * RTE_ALIGN_CEIL((uint64_t)or_else(size->data_room, 1), MOAT_PAGE_SIZE);
	return tenant_memory_for(2 * MOAT_2M_SIZE, rings, pool);
}

/* ----------------------------------------------------------------------- no buffer is ready */

/* The state of a tenant whose pool has no buffer ready. */
struct starved {
	struct moat_tenant_size size; /* the input of moat_tenant_pool_size() */
	uint64_t waiting;             /* buffers that wait for tickets */
	uint64_t share;               /* those that moat_tenant_pool_size() provides for waiting */
	unsigned int unpolled;        /* an lcore that does not poll; RTE_MAX_LCORE: none found */
	bool asks, late;              /* lcores are asked now; were asked over TURN_MS ago */
	bool open;                    /* an lcore that was asked may still answer */
	bool strange;                 /* a thread that has not entered polls */
};

static void count_queues(const struct moat_tenant *t, struct starved *s)
{
	for (unsigned int i = 0; i < t->nr_queues; i++) {
		const struct tenant_queue *q = t->queues[i];
		struct rte_eth_rxq_info rx = { .nb_desc = 0 };
		struct rte_eth_txq_info tx = { .nb_desc = 0 };

		s->waiting += tenant_held_count(q->held);
		if (q->gone)
			continue;
		/* If the driver does not tell, the computed size lacks its descriptors. */
		rte_eth_rx_queue_info_get(q->port, q->queue, &rx);
		rte_eth_tx_queue_info_get(q->port, q->queue, &tx);
		s->size.queues++;
		s->size.rx_descriptors += rx.nb_desc;
		s->size.tx_descriptors += tx.nb_desc;
	}
}

/* Milliseconds that an lcore may take for a turn before the log says that it does not poll. Another
 * program may use its processor for that long. */
#define TURN_MS 100

/*
 * Find out whether an online lcore polls, while buffers wait. An lcore that has never polled is
 * found at once if buffers that it freed wait. Any other lcore is asked by the first report
 * (TENANT_ASKED). Its next poll answers (TENANT_POLLED); a report TURN_MS later finds whether the
 * answer is missing.
 *
 * P1: `polls` is stored relaxed, by the lcore and by the thread that asks: no other access depends
 * on it. If TENANT_ASKED overwrites a poll of the same moment, the next poll answers.
 */
static void ask_lcore(const struct moat_pool *pool, unsigned int i, struct tenant_lcore *lc,
	struct starved *s)
{
	bool own = i == rte_lcore_id();
	uint64_t waiting =
		own ? s->waiting : __atomic_load_n(&pool->part[i]->quarantined, __ATOMIC_RELAXED);
	uint8_t polls = __atomic_load_n(&lc->polls, __ATOMIC_RELAXED);

	if (s->asks && polls == TENANT_POLLED && !own)
		__atomic_store_n(&lc->polls, polls = TENANT_ASKED, __ATOMIC_RELAXED); /* P1 */
	if (polls == TENANT_POLLED)
		return;
	if (s->late || (polls == TENANT_NEVER_POLLED && waiting != 0))
		s->unpolled = RTE_MIN(s->unpolled, i);
	else if (!own)
		s->open = true;
}

/* Count the lcores that have entered, and find one of them that does not poll. */
static void count_lcores(struct moat_pool *pool, struct starved *s)
{
	struct moat_tenant *t = pool->tenant;
	uint64_t now = rte_rdtsc();

	s->asks = t->asked == 0;
	s->late = !s->asks && now - t->asked > rte_get_tsc_hz() / 1000 * TURN_MS;
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
		struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);

		if (lc == NULL || !tenant_lcore_entered(lc))
			continue;
		s->size.lcores++;
		if (s->waiting != 0 && __atomic_load_n(&lc->online, __ATOMIC_RELAXED))
			ask_lcore(pool, i, lc, s);
	}
	s->open &= s->unpolled == RTE_MAX_LCORE;
	t->asked = !s->open ? 0 : s->asks ? now : t->asked;
}

/* Set `strange` if buffers wait and no lcore has entered, or if the calling lcore has not entered
 * and most of the waiting buffers are in the shared part. */
static void count_strangers(const struct moat_pool *pool, struct starved *s)
{
	unsigned int slot = tenant_slot();
	const struct tenant_lcore *lc = pool->tenant->lcores[slot];
	uint64_t shared =
		__atomic_load_n(&pool->part[TENANT_PART_SHARED]->quarantined, __ATOMIC_RELAXED);

	s->strange = s->size.lcores == 0
		? s->waiting != 0
		: slot != RTE_MAX_LCORE && (lc == NULL || !lc->entered) && shared > s->waiting / 2;
}

/* Fill in `s`. @return false: log at a later call, because another thread has the tenant's lock, or
 * an lcore that was asked may still answer */
static bool starved_count(struct moat_pool *pool, struct starved *s)
{
	struct moat_tenant *t = pool->tenant;

	*s = (struct starved){
		.size = {
			.mode = t->conf.mode,
			.data_room = pool->stride,
			.deferred_pages = t->conf.deferred_pages,
		},
		.waiting = moat_pool_quarantined(pool),
		.unpolled = RTE_MAX_LCORE,
	};
	if (pthread_mutex_trylock(&t->lock) != 0)
		return false;
	count_queues(t, s);
	count_lcores(pool, s);
	count_strangers(pool, s);
	tenant_unlock(t);
	s->share = (uint64_t)(RTE_MAX(s->size.lcores, 1u) *
		waiting(&s->size, RTE_MAX(s->size.lcores, 1u), 32));
	return !s->open;
}

/* Write into `why` why no buffer is ready, and what to do. */
static void starved_why(const struct moat_pool *pool, const struct starved *s, char *why,
	size_t size)
{
	if (s->unpolled != RTE_MAX_LCORE)
		snprintf(why, size,
			": lcore %u does not call moat_tenant_poll(), which it must in each turn",
			s->unpolled);
	else if (s->strange)
		snprintf(why, size,
			": a thread that polls its queues has not entered; it must call "
			"moat_tenant_lcore_enter() first, and moat_tenant_poll() in each turn");
	else if (pool->n < moat_tenant_pool_size(&s->size))
		snprintf(why, size,
			", the others are in rings or in use; moat_tenant_pool_size() says how many a pool "
			"needs (moat-fwd: leave out 'buffers')");
	else if (s->waiting > s->share / 2)
		snprintf(why, size,
			": the unit is slow, or lcores share a processor, where more buffers do not help "
			"(doc/sizing.md)");
	else
		snprintf(why, size,
			", the others are in rings or in use: the program keeps more of them than 'kept' of "
			"moat_tenant_pool_size() says");
}

void tenant_say_starved(struct moat_pool *pool)
{
	struct starved s;
	char why[192];

	if (!starved_count(pool, &s))
		return;
	__atomic_store_n(&pool->said_starved, true, __ATOMIC_RELAXED);
	if (s.size.queues == 0) {
		TENANT_LOG(WARNING,
			"tenant '%s': pool '%s' of %u buffers has none ready, and the tenant has no queue: the "
			"program keeps its buffers, or polls a queue that is not added or was removed",
			pool->tenant->name, pool->name, pool->n);
		return;
	}
	starved_why(pool, &s, why, sizeof(why));
	TENANT_LOG(WARNING,
		"tenant '%s': pool '%s' of %u buffers has none ready: %ju of them wait for their "
		"tickets%s",
		pool->tenant->name, pool->name, pool->n, (uintmax_t)s.waiting, why);
}
