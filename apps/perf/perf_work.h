/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef PERF_WORK_H
#define PERF_WORK_H

/**
 * @file
 * An lcore's work on a case, and its counters, for either test.
 *
 * The main thread leads through three phases: WARM until every lcore has used its whole working
 * set, MEASURE for the case's seconds, STOP. An lcore reads the phase between two batches; when
 * MEASURE begins it resets its counters. Until the lcore has ended only it may use its struct
 * perf_work, except for `phase`, which the main thread writes, and `warm`, which that reads.
 */

#include <stdatomic.h>

#include <rte_mbuf.h>

#include "moat_memory.h"
#include "perf.h"

enum perf_phase { PERF_WARM, PERF_MEASURE, PERF_STOP };

/** Cycles of a few batches by stage. A round with a time slice of another process in it can be left
 * out; in one sum over all batches such a slice would count as mapping cost. */
#define PERF_ROUND_BATCHES 16
#define PERF_ROUNDS        UINT64_C(4096) /* the last so many are kept */
struct perf_round {
	uint64_t cycles[MOAT_STAGES];
	uint64_t operations;
	uint64_t reference; /* TSC cycles of perf_reference(), called at the round's end */
	unsigned int batches;
};

/** Do a fixed piece of work, to measure how fast the processor is at the moment: other load on the
 * machine slows it. @return the TSC cycles it took, about a thousand. Data path. */
uint64_t perf_reference(void);

struct perf_work {
	const struct perf_case *c;
	struct moat_unit *unit;
	unsigned int index; /* this lcore's, among the case's */
	unsigned int lcore;
	void *test; /* the test's own state */

	const _Atomic int *phase;
	int seen;          /* the last value of *phase that the lcore read */
	_Atomic bool warm; /* relaxed: a flag that orders nothing */

	int rc; /* 0, or the errno that the loop ended with; `error` says why */
	char error[512];

	/* Counted since MEASURE began. */
	uint64_t begin, end;     /* TSC */
	struct moat_cost cost;   /* of test map's stopwatch */
	struct perf_round round; /* the present one, not full yet */
	uint64_t nr_rounds;
	struct perf_round rounds[PERF_ROUNDS]; /* round i is rounds[i % PERF_ROUNDS] */
	uint64_t operations;
	uint64_t waits;
	uint64_t starved;
	uint64_t runs[PERF_RUN_SIZES];
	struct moat_lane_stats lane;
	struct moat_hist map, unmap, both; /* 1/PERF_HIST_SCALE cycles per operation */
};

/** A test. Its functions return 0 or a negative errno (moat_error_text()). */
struct perf_ops {
	/** Set up the test for all lcores, on the main thread. destroy() must be called after a
	 * failure, too. */
	int (*create)(struct perf_work works[], unsigned int n);
	/** Run on the work's lcore, until perf_work_goes_on() returns false. */
	int (*loop)(struct perf_work *work);
	int (*destroy)(struct perf_work works[], unsigned int n);
	/** Read the test's counters at the beginning and at the end of MEASURE. */
	void (*mark)(struct perf_work *work, bool begin);
};
extern const struct perf_ops perf_map_ops, perf_packets_ops;

/** Enter a new phase, between two batches. @return whether to go on. Data path. */
bool perf_work_phase(struct perf_work *work, int phase);
static inline bool perf_work_goes_on(struct perf_work *work)
{
	/* relaxed: a phase orders no other data */
	int phase = atomic_load_explicit(work->phase, memory_order_relaxed);

	return likely(phase == work->seen) || perf_work_phase(work, phase);
}

/** Count `n` operations, which took the difference of `now` and `before`. Data path. */
void perf_work_sample(struct perf_work *work, const struct moat_cost *before,
	const struct moat_cost *now, unsigned int n);

/** Set each counter in `after` to after - before. */
void perf_lane_difference(struct moat_lane_stats *after, const struct moat_lane_stats *before);

/* ------------------------------------------------------------ perf_guest.c: nested translation */

/** The part of a parent domain in which an lcore's memory is mapped. */
struct perf_guest {
	struct moat_domain *parent; /* NULL: nothing is mapped */
	uint64_t at, len;           /* address in the parent, and bytes */
};

/** Make a parent for the lcore's domain, if the unit nests. @param parent receives the parent;
 * NULL: the unit does not nest. @return 0 or a negative errno, moat_error_text() */
int perf_guest_create(const struct perf_work *work, struct moat_domain **parent);
/** Map the memory into `parent`, and set its physical addresses to those in the parent. Does
 * nothing if `parent` is NULL. @return 0 or a negative errno, moat_error_text() */
int perf_guest_map(struct perf_guest *guest, struct moat_domain *parent,
	struct moat_memory *memory);
/** Unmap the memory. @return 0, or a negative errno: the unit may still reach the memory */
int perf_guest_unmap(struct perf_guest *guest);

/* ---------------------------------------------------- perf_place.c: granules' memory and IOVAs */

struct perf_slot {
	uint64_t off;  /* offset in the memory, bytes */
	uint64_t iova; /* with PERF_ALLOCATED: of the present map */
};

/** An lcore's memory, divided into granules. */
struct perf_place {
	struct moat_memory memory;
	uint64_t granule; /* bytes */
	unsigned int n;   /* a multiple of the batch */
	struct perf_slot *slots;
	uint32_t *order; /* static: the order in which a device visits the pages of 4 KiB */
};

/** Get an lcore's memory, and choose the granules' IOVAs.
 * @param domain the domain in which granules get IOVAs
 * @param guest receives the mapping in the domain's parent, if it has one
 * @return 0 or a negative errno, moat_error_text() */
int perf_place_create(struct perf_place *place, const struct perf_work *work,
	struct moat_domain *domain, struct perf_guest *guest);
void perf_place_destroy(struct perf_place *place);

/* ------------------------------------------------------------------- perf_port.c: a NIC to poll */

/** A net_moat port on net_null, whose queue is in a tenant's memory. */
struct perf_port {
	char device[48], backing[48];
	bool attached, backing_attached, started, added;
	uint16_t id;
	struct moat_tenant *tenant;
	struct rte_mempool *pool;
};

#define PERF_DESCRIPTORS 512 /* of each ring */

/** @return bytes of a buffer that holds the case's frame in one piece: whole pages */
static inline uint64_t perf_room(const struct perf_case *c)
{
	return RTE_ALIGN_CEIL(RTE_PKTMBUF_HEADROOM + c->frame, MOAT_PAGE_SIZE);
}

int perf_port_create(struct perf_port *port, const struct perf_work *work);
/** Undo perf_port_create(), even if it failed halfway. @return as moat_tenant_destroy() */
int perf_port_destroy(struct perf_port *port);

#endif /* PERF_WORK_H */
