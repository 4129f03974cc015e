/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PERF_WORK_H
#define PERF_WORK_H

/**
 * @file
 * A case at work: what one lcore does and counts, whatever the test.
 *
 * The main thread leads through three phases: WARM until every lcore has been through all it will
 * touch, MEASURE for as long as asked, STOP. An lcore looks at the phase between two batches; when
 * MEASURE begins it forgets what it has counted. All of a struct perf_work is its lcore's until
 * that has ended, but for `phase`, which it reads, and `warm`, which the main thread reads.
 */

#include <stdatomic.h>

#include <rte_mbuf.h>

#include "moat_memory.h"
#include "perf.h"

enum perf_phase { PERF_WARM, PERF_MEASURE, PERF_STOP };

/** A few batches by the stages. A time slice of another process in the middle of a stage is not
 * mapping cost: rounds can be left out, cycles in a sum cannot. */
#define PERF_ROUND_BATCHES 16
#define PERF_ROUNDS        UINT64_C(4096) /* kept: the last ones */
struct perf_round {
	uint64_t cycles[MOAT_STAGES];
	uint64_t operations;
	uint64_t reference; /* TSC cycles of perf_reference() at its end */
	unsigned int batches;
};

/** Do a fixed piece of work, always the same, to see how fast the processor is now: neighbours on
 * the same machine slow it. @return the TSC cycles it took, about a thousand. Data path. */
uint64_t perf_reference(void);

struct perf_work {
	const struct perf_case *c;
	struct moat_unit *unit;
	unsigned int index; /* among the case's lcores */
	unsigned int lcore;
	void *test; /* the test's own */

	const _Atomic int *phase;
	int seen;          /* of *phase */
	_Atomic bool warm; /* relaxed: a flag that orders nothing */

	int rc; /* how it ended; error says why */
	char error[512];

	/* Counted since MEASURE began. */
	uint64_t begin, end;     /* TSC */
	struct moat_cost cost;   /* test map's stopwatch charges it */
	struct perf_round round; /* not yet full */
	uint64_t nr_rounds;
	struct perf_round rounds[PERF_ROUNDS]; /* round i is rounds[i % PERF_ROUNDS] */
	uint64_t operations;
	uint64_t waits;
	uint64_t starved;
	uint64_t runs[PERF_RUN_SIZES];
	struct moat_lane_stats lane;
	struct moat_hist map, unmap, both; /* 1/PERF_HIST_SCALE cycles per operation */
};

/** What a test does. create: for all lcores, on the main thread; on failure it leaves nothing.
 * loop: on the work's lcore, until perf_work_goes_on() says no. destroy: @return 0 or an errno. */
struct perf_ops {
	int (*create)(struct perf_work works[], unsigned int n);
	int (*loop)(struct perf_work *work);
	int (*destroy)(struct perf_work works[], unsigned int n);
	/** Counters at the beginning and at the end of MEASURE. */
	void (*mark)(struct perf_work *work, bool begin);
};
extern const struct perf_ops perf_map_ops, perf_packets_ops;

/** Between two batches. @return whether there is to be another. Data path. */
bool perf_work_phase(struct perf_work *work, int phase);
static inline bool perf_work_goes_on(struct perf_work *work)
{
	/* relaxed: phases order nothing but themselves */
	int phase = atomic_load_explicit(work->phase, memory_order_relaxed);

	return likely(phase == work->seen) || perf_work_phase(work, phase);
}

/** Count what `n` operations took: the difference of `now` and `before`. Data path. */
void perf_work_sample(struct perf_work *work, const struct moat_cost *before,
	const struct moat_cost *now, unsigned int n);

/** after - before, field by field. */
void perf_lane_difference(struct moat_lane_stats *after, const struct moat_lane_stats *before);

/* ------------------------------------------------------------ perf_guest.c: nested translation */

/** What of a parent leads to an lcore's memory. */
struct perf_guest {
	struct moat_domain *parent; /* NULL: none, or none any more */
	uint64_t at, len;           /* guest-physical */
};

/** Make a parent for the lcore's domain, if the unit nests. @param parent NULL: it does not.
 * @return 0 or a negative errno, moat_error_text() */
int perf_guest_create(const struct perf_work *work, struct moat_domain **parent);
/** Map the memory into `parent` (NULL: nothing happens); from now on its physical addresses are the
 * parent's. @return 0 or a negative errno, moat_error_text() */
int perf_guest_map(struct perf_guest *guest, struct moat_domain *parent,
	struct moat_memory *memory);
/** Nothing leads there any more. @return 0 or a negative errno: the unit may still reach it */
int perf_guest_unmap(struct perf_guest *guest);

/* --------------------------------------------------------------- perf_place.c: granules' places */

struct perf_slot {
	uint64_t off;  /* in the memory */
	uint64_t iova; /* not with PERF_ALLOCATED */
};

/** The memory of an lcore, cut into granules. */
struct perf_place {
	struct moat_memory memory;
	uint64_t granule; /* bytes */
	unsigned int n;   /* a multiple of the batch */
	struct perf_slot *slots;
	uint32_t *order; /* static: in which order a device visits the 4 KiB of it all */
};

/** @param domain where granules get their IOVAs
 * @param guest set to what leads there from the domain's parent, if it has one
 * @return 0 or a negative errno, moat_error_text() */
int perf_place_create(struct perf_place *place, const struct perf_work *work,
	struct moat_domain *domain, struct perf_guest *guest);
void perf_place_destroy(struct perf_place *place);

/* ------------------------------------------------------------------- perf_port.c: a NIC to poll */

/** net_moat over net_null, its queue in a tenant's memory. */
struct perf_port {
	char device[48], backing[48];
	bool attached, backing_attached, started, added;
	uint16_t id;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
};

#define PERF_DESCRIPTORS 512 /* of a ring */

/** Bytes of a buffer that holds the case's frame in one piece: whole pages. */
static inline uint64_t perf_room(const struct perf_case *c)
{
	return RTE_ALIGN_CEIL(RTE_PKTMBUF_HEADROOM + c->frame, MOAT_PAGE_SIZE);
}

int perf_port_create(struct perf_port *port, const struct perf_work *work);
/** Also for one that came only half-way. @return 0, or what went wrong first */
int perf_port_destroy(struct perf_port *port);

#endif /* PERF_WORK_H */
