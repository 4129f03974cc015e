/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The verdicts, and the report. */

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

#define FAULTS_PRINTED 20

static _Atomic uint64_t faults;

/* The verdict must be printed even if the fault makes the program crash before its end. */
static void crash_after_fault(int signal)
{
	static const char text[] = "# and then a crash\nnot ok 1 - "
				   "random_calls_of_the_tenant_api_break_no_promise\n";

	if (write(STDOUT_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

void fault(struct actor *a, const char *fmt, ...)
{
	struct world *w = a->world;
	uint64_t n = atomic_fetch_add(&faults, 1);
	char text[512];
	va_list ap;

	atomic_store(&w->stop, true);
	if (n == 0) {
		signal(SIGSEGV, crash_after_fault);
		signal(SIGBUS, crash_after_fault);
		signal(SIGABRT, crash_after_fault);
	}
	if (n >= FAULTS_PRINTED)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("# FAULT seed %" PRIu64 " round %" PRIu64 " actor %u operation %" PRIu64
	       " (%s): %s\n",
		w->request->seed, w->round, a->index, a->op,
		a->doing < nr_operations ? operations[a->doing].name : "between", text);
	fflush(stdout);
}

uint64_t faults_found(void)
{
	return atomic_load(&faults);
}

/* ------------------------------------------------------------------------------------ the units */

static void stale_print(struct unit *u)
{
	struct moat_softvtd_stale list[4];
	unsigned int n = moat_softvtd_stale(u->hw, list, RTE_DIM(list));

	for (unsigned int i = 0; i < n; i++)
		printf("# stale: sid " MOAT_SID_FMT " did %u iova 0x%" PRIx64
		       " %s %s by %s, %" PRIu64 " cycles after its release\n",
			MOAT_SID_ARGS(list[i].sid), list[i].did, list[i].iova,
			list[i].prot & MOAT_W ? "write" : "read",
			moat_softvtd_staleness_name(list[i].why),
			moat_softvtd_server_name(list[i].server), list[i].age);
}

void judge_unit(struct world *w, struct unit *u)
{
	struct actor *a = &w->actor[0];
	struct moat_softvtd_stats s;

	moat_softvtd_stats(u->hw, &s);
	if (s.stale_dma != 0) {
		stale_print(u);
		fault(a,
			"unit %s (%s): %" PRIu64 " stale DMAs: %" PRIu64 " released, %" PRIu64
			" wild, %" PRIu64 " protection, %" PRIu64 " table",
			u->name, u->args, s.stale_dma, s.stale[0], s.stale[1], s.stale[2],
			s.stale[3]);
	}
	if (s.early_reuse != 0 || s.witness_errors != 0)
		fault(a,
			"unit %s (%s): %" PRIu64 " pages mapped before their release, %" PRIu64
			" calls out of order",
			u->name, u->args, s.early_reuse, s.witness_errors);
	for (unsigned int i = 0; i < MOAT_SOFTVTD_MISUSES; i++)
		if (s.misuse[i] != 0)
			fault(a, "unit %s (%s): %s", u->name, u->args, moat_softvtd_misuse_text(i));
}

/* ------------------------------------------------------------------------------------ the ports */

/* Every DMA that the unit refused to a port must come from operate_device.c. */
void judge_port(struct world *w, struct port *p)
{
	struct rte_eth_xstat_name names[128];
	struct rte_eth_xstat values[128];
	int n = rte_eth_xstats_get_names(p->id, names, RTE_DIM(names));
	uint64_t refused = 0, rings = 0;

	if (n <= 0 || n > (int)RTE_DIM(names) || rte_eth_xstats_get(p->id, values, n) != n) {
		fault(&w->actor[0], "%s: %d statistics", p->name, n);
		return;
	}
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i].name + 2, "_dma_faults") == 0)
			refused += values[i].value;
		else if (strcmp(names[i].name + 2, "_ring_faults") == 0)
			rings += values[i].value;
	}
	if (refused > p->lies || rings != 0)
		fault(&w->actor[0],
			"%s: the unit refused %" PRIu64 " packets' DMA, of which %" PRIu64
			" were lies, and %" PRIu64 " times the ring's",
			p->name, refused, p->lies, rings);
	p->lies = 0;
}

/* ------------------------------------------------------------------------------- pools, tenants */

void judge_pool(struct actor *a, struct rte_mempool *pool)
{
	unsigned int n = rte_mempool_avail_count(pool);

	if (n != pool->size)
		fault(a, "pool %s: %u of %u buffers are back", pool->name, n, pool->size);
}

void judge_tenant(struct actor *a, struct tenant *t)
{
	struct moat_tenant_stats s;

	judge_pool(a, t->pool);
	moat_tenant_stats(t->tenant, &s);
	if (s.lost != 0 || s.verify_failed != 0)
		fault(a,
			"tenant %s (%s): %" PRIu64 " packets lost, %" PRIu64
			" with buffers that the device may not write",
			t->name, moat_mode_name(t->mode), s.lost, s.verify_failed);
}

/* ----------------------------------------------------------------------------------- the report */

static struct tally tallies[128];
static uint64_t received, sent, rounds;

void report_add(const struct world *w)
{
	for (unsigned int i = 0; i < w->nr_actors; i++)
		for (unsigned int o = 0; o < nr_operations; o++) {
			const struct tally *t = &w->actor[i].tally[o];

			tallies[o].count += t->count;
			tallies[o].longest = RTE_MAX(tallies[o].longest, t->longest);
		}
	for (unsigned int i = 0; i < PORTS; i++) {
		received += w->port[i].received;
		sent += w->port[i].sent;
	}
	rounds++;
}

uint64_t report_operations(void)
{
	uint64_t sum = 0;

	for (unsigned int o = 0; o < nr_operations; o++)
		sum += tallies[o].count;
	return sum;
}

void report_print(void)
{
	uint64_t worst = 0;

	printf("# %-16s %12s %14s %10s\n", "operation", "times", "longest, us", "stall, us");
	for (unsigned int o = 0; o < nr_operations; o++) {
		printf("# %-16s %12" PRIu64 " %14.0f %10" PRIu64 "%s%s\n", operations[o].name,
			tallies[o].count, tallies[o].longest * 1e6 / rte_get_tsc_hz(),
			progress_longest(o), operations[o].off != NULL ? "  off: " : "",
			operations[o].off != NULL ? operations[o].off : "");
		worst = RTE_MAX(worst, progress_longest(o));
	}
	printf("# %" PRIu64 " operations in %" PRIu64 " rounds, %" PRIu64 " packets sent, %" PRIu64
	       " received, longest stall %" PRIu64 " us, %" PRIu64 " faults\n",
		report_operations(), rounds, sent, received, worst, faults_found());
}
