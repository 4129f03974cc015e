/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* An lcore's state in a tenant: the lcore enters, polls, goes offline for a while, leaves. */

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "mode.h"
#include "ticket.h"

/* The stopwatch of the slot of threads that are not lcores, and of lcores that have left. It is
 * always off. */
static struct moat_cost_watch no_watch;

void tenant_lock(struct moat_tenant *t)
{
	while (pthread_mutex_trylock(&t->lock) != 0) {
		moat_lanes_quiescent();
		sched_yield();
	}
}

struct tenant_lcore *tenant_lcore_make(struct moat_tenant *t, unsigned int slot)
{
	struct tenant_lcore *lc = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*lc));

	if (lc == NULL)
		return NULL;
	memset(lc, 0, sizeof(*lc));
	lc->slot = (uint16_t)slot;
	lc->deferred.pages = t->conf.deferred_pages;
	lc->deferred.cycles = t->conf.deferred_us * (rte_get_tsc_hz() / 1000000);
	lc->watch = slot == RTE_MAX_LCORE ? &no_watch : &RTE_PER_LCORE(moat_cost_watch);
	lc->cost.per_burst = calloc(1, sizeof(*lc->cost.per_burst));
	lc->lane = lc->cost.per_burst != NULL ? moat_lane_open(t->domain) : NULL;
	if (lc->lane == NULL) {
		free(lc->cost.per_burst);
		free(lc);
		return NULL;
	}
	/* Release: another thread that reads the pointer, for a report, sees the initialised
	 * state. */
	__atomic_store_n(&t->lcores[slot], lc, __ATOMIC_RELEASE);
	return lc;
}

/* ------------------------------------------------------------------------------ enter and leave */

/* A number of the calling thread that no other thread of the process ever has. (The kernel gives
 * the id of a thread that has ended to a later one.) */
static uint64_t thread_number(void)
{
	static _Atomic(uint64_t) last;
	static __thread uint64_t mine;

	if (mine == 0) /* relaxed: only needs to be unique */
		mine = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
	return mine;
}

/* Take over the state of an earlier thread with the calling lcore's number, which entered and did
 * not leave. An lcore's number belongs to one thread at a time, so the earlier thread has ended, or
 * is not an lcore any more. */
static void take_over(struct moat_tenant *t, struct tenant_lcore *lc)
{
	TENANT_LOG(WARNING,
		"tenant '%s': a thread that was lcore %u before has ended without "
		"moat_tenant_lcore_leave()",
		t->name, rte_lcore_id());
	moat_lane_offline(lc->lane);
	tenant_lcore_set_entered(lc, false);
}

/* Relaxed, as `polls`: a report may see the old value. The lane itself orders tickets. */
static void lcore_set_online(struct tenant_lcore *lc, bool online)
{
	__atomic_store_n(&lc->online, online, __ATOMIC_RELAXED);
}

int moat_tenant_lcore_enter(struct moat_tenant *t)
{
	struct tenant_lcore *lc;
	int rc;

	if (t == NULL)
		return moat_error(-EINVAL, "moat_tenant_lcore_enter(): the tenant is NULL");
	if (rte_lcore_id() >= RTE_MAX_LCORE)
		return moat_error(-EINVAL,
			"tenant '%s': only an EAL lcore can poll, and the calling thread is not one; call "
			"rte_thread_register() in it first",
			t->name);
	lc = t->lcores[tenant_slot()];
	if (lc != NULL && lc->entered && lc->thread == thread_number())
		return moat_error(-EALREADY, "tenant '%s': lcore %u has entered already", t->name,
			rte_lcore_id());
	if (lc != NULL && lc->entered)
		take_over(t, lc);
	if (lc == NULL)
		lc = tenant_lcore_make(t, tenant_slot());
	if (lc == NULL)
		return -ENOMEM;
	tenant_rings_say_unadded(t);
	tenant_say_unattached(t);
	tenant_lock(t);
	rc = tenant_pools_enter(t, lc->slot);
	t->asked = 0; /* ask anew: this lcore was not asked */
	tenant_unlock(t);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': no memory for lcore %u's part of the pools",
			t->name, lc->slot);
	lc->watch = &RTE_PER_LCORE(moat_cost_watch);
	__atomic_store_n(&lc->polls, TENANT_NEVER_POLLED, __ATOMIC_RELAXED);
	tenant_lcore_set_entered(lc, true);
	lcore_set_online(lc, true);
	lc->thread = thread_number();
	moat_lane_online(lc->lane);
	return 0;
}

/* The calling lcore's state, if the lcore has entered. NULL: moat_error_text() */
static struct tenant_lcore *entered(struct moat_tenant *t, const char *call)
{
	struct tenant_lcore *lc = t != NULL ? t->lcores[tenant_slot()] : NULL;

	if (t == NULL)
		moat_error(-EINVAL, "%s(): the tenant is NULL", call);
	else if (lc == NULL || !lc->entered)
		moat_error(-EINVAL, "tenant '%s': %s(): this lcore has not entered", t->name, call);
	else
		return lc;
	return NULL;
}

int moat_tenant_lcore_leave(struct moat_tenant *t)
{
	struct tenant_lcore *lc = entered(t, "moat_tenant_lcore_leave");
	char why[256];
	int rc;

	if (lc == NULL)
		return -EINVAL;
	rc = moat_lane_drain(lc->lane);
	if (rc != 0)
		snprintf(why, sizeof(why), "%s", moat_error_text());
	tenant_pools_leave(t, lc);
	tenant_lcore_set_entered(lc, false);
	lc->watch = &no_watch;
	moat_lane_offline(lc->lane);
	if (rc != 0)
		return moat_error(rc, "tenant '%s': lcore %u has left, but %s%s", t->name,
			rte_lcore_id(), why, tenant_who_is_in(t));
	return 0;
}

int moat_tenant_offline(struct moat_tenant *t)
{
	struct tenant_lcore *lc = entered(t, "moat_tenant_offline");

	if (lc == NULL)
		return -EINVAL;
	lcore_set_online(lc, false);
	moat_lane_offline(lc->lane);
	/* This lcore does not poll for a while: let other threads release the buffers it freed. */
	tenant_pools_leave(t, lc);
	return 0;
}

int moat_tenant_online(struct moat_tenant *t)
{
	struct tenant_lcore *lc = entered(t, "moat_tenant_online");

	if (lc == NULL)
		return -EINVAL;
	moat_lane_online(lc->lane);
	/* Counts as a poll: while the lcore was offline, no ticket waited for it. */
	__atomic_store_n(&lc->polls, TENANT_POLLED, __ATOMIC_RELAXED);
	lcore_set_online(lc, true);
	return 0;
}

/* Has the lcore's function returned? false for the main lcore, where DPDK cannot tell. */
static bool function_has_ended(unsigned int lcore)
{
	return rte_lcore_is_enabled(lcore) && lcore != rte_get_main_lcore() &&
		rte_eal_get_lcore_state(lcore) == WAIT;
}

unsigned int tenant_ended_lcore(const struct moat_tenant *t)
{
	for (unsigned int i = 0; i < RTE_MAX_LCORE; i++) {
		const struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);

		if (lc != NULL && tenant_lcore_entered(lc) && function_has_ended(i))
			return i;
	}
	return RTE_MAX_LCORE;
}

const char *tenant_who_is_in(const struct moat_tenant *t)
{
	static __thread char text[128];
	int at = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < RTE_MAX_LCORE && at < (int)sizeof(text) - 32; i++) {
		const struct tenant_lcore *lc = __atomic_load_n(&t->lcores[i], __ATOMIC_ACQUIRE);

		if (lc == NULL || !tenant_lcore_entered(lc))
			continue;
		at += snprintf(text + at, sizeof(text) - (size_t)at, "%s %u%s",
			at == 0 ? "; lcores that have entered:" : ",", i,
			function_has_ended(i) ? " (its function has ended)" : "");
	}
	return text;
}

const char *tenant_who_holds(const struct moat_tenant *t, const char *why)
{
	static __thread char text[384];
	unsigned int ended = tenant_ended_lcore(t);

	if (ended != RTE_MAX_LCORE)
		snprintf(text, sizeof(text),
			"lcore %u has entered and does not poll (its function has ended); call "
			"moat_tenant_lcore_leave() before its function returns",
			ended);
	else
		snprintf(text, sizeof(text), "%s%s", why, tenant_who_is_in(t));
	return text;
}

/* -------------------------------------------------------------------------------------- polling */

/* Log that a thread polls which has not entered, once for each lcore. @return false: the thread is
 * not an lcore, and the poll must do nothing */
static __rte_noinline bool poll_stray(struct moat_tenant *t, struct tenant_lcore *lc)
{
	static atomic_flag said = ATOMIC_FLAG_INIT; /* for threads that are not lcores */

	if (lc == NULL) {
		if (!atomic_flag_test_and_set(&said))
			TENANT_LOG(ERR,
				"tenant '%s': moat_tenant_poll() from a thread that is not an lcore does nothing; "
				"call rte_thread_register() and moat_tenant_lcore_enter() in it first",
				t->name);
		return false;
	}
	if (!lc->said_stray)
		TENANT_LOG(ERR,
			"tenant '%s': lcore %u polls the tenant but has not entered it: the lcore's buffers come "
			"from the part of the pools that all such threads share, and go to it; call "
			"moat_tenant_lcore_enter() first",
			t->name, rte_lcore_id());
	lc->said_stray = true;
	return true;
}

void moat_tenant_poll(struct moat_tenant *t)
{
	/* The shared slot may be used only under the tenant's lock. */
	struct tenant_lcore *lc = tenant_slot() != RTE_MAX_LCORE ? tenant_lcore(t) : NULL;
	moat_ticket_t done;

	if (unlikely(lc == NULL || !lc->entered) && !poll_stray(t, lc))
		return;
	__atomic_store_n(&lc->polls, TENANT_POLLED, __ATOMIC_RELAXED); /* P1 of size.c */
	t->mode->flush(t, lc); /* also unmaps that could not be flushed earlier */
	done = moat_lane_poll(lc->lane);
	if (done != lc->released || unlikely(lc->others_wait)) {
		lc->released = done;
		tenant_pools_release(t, lc);
	}
	tenant_shared_poll(t);
	moat_cost_mark(lc->watch, &lc->cost, MOAT_STAGE_RECLAIM);
}

struct moat_lane *moat_tenant_lane(struct moat_tenant *t)
{
	struct tenant_lcore *lc = t->lcores[tenant_slot()];

	return lc != NULL ? lc->lane : NULL;
}

struct moat_cost *moat_tenant_cost(struct moat_tenant *t)
{
	struct tenant_lcore *lc = tenant_lcore(t);

	return lc != NULL ? &lc->cost : NULL;
}
