/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Attach and detach from any thread. Whatever threads do at the same time, the domain's list of
 * sources and the unit's list stay equal, and each call's result is correct at some moment of the
 * call.
 */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_common.h>
#include <sched.h>

#include "moat_domain.h"
#include "moat_soft_unit.h"
#include "must.h"

#define THREADS 2
#define OWN     6 /* sources that only one thread uses */
#define SHARED  4
#define CALLS   1000000u /* of both threads; MOAT_CALLS in the environment overrides it */

/* @return the number of calls of a test: MOAT_CALLS, or as many as a suite has time for */
static unsigned int calls_of(unsigned int suite)
{
	const char *text = getenv("MOAT_CALLS");

	return text != NULL ? (unsigned int)strtoul(text, NULL, 0) : suite;
}

/* -------------------------------------------- a unit that remembers who is attached, and slowly */

static _Atomic int attached[65536];
static _Atomic unsigned int wrong;

static int note_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	if (atomic_exchange(&attached[sid], 1) != 0)
		atomic_fetch_add(&wrong, 1);
	if (sid % 7 == 0)
		sched_yield();
	return 0;
}

static int note_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	if (sid % 5 == 0)
		sched_yield();
	if (atomic_exchange(&attached[sid], 0) != 1)
		atomic_fetch_add(&wrong, 1);
	return 0;
}

static int nothing_to_keep(struct moat_unit *unit, struct moat_domain *domain, void **priv)
{
	return 0;
}

struct worker {
	struct moat_domain *domain;
	unsigned int nr, calls;
	uint32_t seed;
	bool in[OWN];
	int shared; /* successful attaches minus detaches of the shared sources */
	unsigned int bad, done;
};

static uint32_t draw(struct worker *w)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 17;
	w->seed ^= w->seed << 5;
	return w->seed;
}

static void call_own(struct worker *w, unsigned int i, bool in)
{
	moat_sid_t sid = MOAT_SID(1 + w->nr, i, 0);
	int rc = in ? moat_domain_attach(w->domain, sid) : moat_domain_detach(w->domain, sid);
	int want = in == w->in[i] ? (in ? -EBUSY : -ENOENT) : 0;

	w->bad += rc != want;
	w->done += rc == 0;
	w->in[i] = in;
}

static void call_shared(struct worker *w, unsigned int i, bool in)
{
	moat_sid_t sid = MOAT_SID(9, i, 0);
	int rc = in ? moat_domain_attach(w->domain, sid) : moat_domain_detach(w->domain, sid);

	if (rc == 0)
		w->shared += in ? 1 : -1;
	w->bad += rc != 0 && rc != (in ? -EBUSY : -ENOENT);
	w->done += rc == 0;
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned int k = 0; k < w->calls; k++) {
		uint32_t r = draw(w), i = r >> 8;
		bool in = r & 1;

		if (r & 2)
			call_own(w, i % OWN, in);
		else
			call_shared(w, i % SHARED, in);
	}
	return NULL;
}

/* @return how many calls changed something */
static unsigned int attach_and_detach(struct moat_domain *domain, unsigned int calls)
{
	struct worker w[THREADS];
	pthread_t thread[THREADS];
	unsigned int done = 0;
	int shared = 0;

	for (unsigned int t = 0; t < THREADS; t++) {
		w[t] = (struct worker){ .domain = domain,
			.nr = t,
			.calls = calls / THREADS,
			.seed = 2463534242u + t };
		must(pthread_create(&thread[t], NULL, work, &w[t]));
	}
	for (unsigned int t = 0; t < THREADS; t++) {
		pthread_join(thread[t], NULL);
		assert_int_equal(w[t].bad, 0);
		shared += w[t].shared;
		done += w[t].done;
	}
	for (unsigned int t = 0; t < THREADS; t++)
		for (unsigned int i = 0; i < OWN; i++)
			if (w[t].in[i])
				must(moat_domain_detach(domain, MOAT_SID(1 + t, i, 0)));
	for (unsigned int i = 0; i < SHARED; i++)
		shared -= moat_domain_detach(domain, MOAT_SID(9, i, 0)) == 0;
	assert_int_equal(shared, 0);
	return done;
}

static void two_threads_attach_and_detach_at_random(void **state)
{
	static const struct moat_unit_ops ops = { .attach = note_attach,
		.detach = note_detach,
		.open = nothing_to_keep };
	struct moat_unit unit = { .ops = &ops, .name = "notes", .kind = "notes" };
	struct moat_domain_conf conf = { .name = "shared" };
	struct moat_domain *domain;
	unsigned int calls = calls_of(CALLS), done;

	unit.caps = (struct moat_unit_caps){ .mgaw = 48, .nd = 16, .tables = MOAT_TABLES_UNITS };
	must(moat_pt_pool_create(NULL, &unit.pool));
	must(moat_domain_create(&unit, &conf, &domain));
	done = attach_and_detach(domain, calls);
	print_message("# %u calls, %u of them changed something\n", calls, done);
	assert_int_equal(wrong, 0);
	must(moat_domain_destroy(domain));
	for (unsigned int sid = 0; sid < RTE_DIM(attached); sid++)
		assert_int_equal(attached[sid], 0);
	moat_pt_pool_destroy(unit.pool);
}

static void so_they_do_on_the_software_unit(void **state)
{
	struct moat_domain_conf conf = { .name = "soft" };
	struct moat_domain *domain;
	struct moat_unit *unit;
	unsigned int calls = calls_of(CALLS / 50), done;

	must(moat_soft_unit_create("soft0", "oracle=0,adversary=0", &unit));
	must(moat_domain_create(unit, &conf, &domain));
	done = attach_and_detach(domain, calls);
	print_message("# %u calls, %u of them changed something\n", calls, done);
	must(moat_domain_destroy(domain));
	unit->ops->destroy(unit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_threads_attach_and_detach_at_random),
		cmocka_unit_test(so_they_do_on_the_software_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
