/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef FWD_PERF_H
#define FWD_PERF_H

/* --perf; see fwd_perf.c. */

#include "moat_cost.h"

#define FWD_PERF_EVENTS      7
#define FWD_PERF_UNIT_EVENTS 64
#define FWD_PERF_EVERY       64 /* one turn of the loop in so many samples the stages */

/** One worker's counters. Only the worker's thread uses them until it has ended. */
struct fwd_perf {
	int fd[FWD_PERF_EVENTS];
	int err[FWD_PERF_EVENTS]; /* errno of opening the counter; 0: it is open */
	uint64_t first[FWD_PERF_EVENTS], last[FWD_PERF_EVENTS];
	uint64_t all[FWD_PERF_EVENTS];
	uint64_t stage[MOAT_STAGES][FWD_PERF_EVENTS]; /* in sampled turns */
	uint64_t turn;
};

/** The units' counters, for the whole machine. Only the main thread uses them. */
struct fwd_perf_units {
	unsigned int n;
	int fd[FWD_PERF_UNIT_EVENTS];
	char name[FWD_PERF_UNIT_EVENTS][48];
};

/** Called by the worker's thread: at its start, before each turn of the loop, and at its end. */
void fwd_perf_open(struct fwd_perf *perf);
void fwd_perf_turn(struct fwd_perf *perf, struct moat_cost_watch *watch);
void fwd_perf_close(struct fwd_perf *perf);
/** Find the units' counters and start them; print a line if there are none. */
void fwd_perf_units_open(struct fwd_perf_units *units);
/** Print the counters. Called by the main thread, after the workers have ended. */
void fwd_perf_report(const struct fwd_perf *perf, unsigned int lcore, uint64_t packets);
void fwd_perf_units_report(struct fwd_perf_units *units, uint64_t packets);

#endif /* FWD_PERF_H */
