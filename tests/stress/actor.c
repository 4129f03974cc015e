/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Actors: threads that draw operations, what they must do between these, and what they hold. */

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_pause.h>

#include "stress.h"
#include "moat_tsan.h"

/* ------------------------------------------------------------------------------------ duties */

void actor_step(struct actor *a)
{
	/* Only this thread writes it. Release: pairs with the acquire in progress.c, as in
	 * operate(). */
	atomic_store_explicit(&a->beat, a->beat + 1, memory_order_release);
}

void actor_wait(struct actor *a)
{
	actor_turn(a);
	actor_step(a);
	sched_yield();
}

void actor_turn(struct actor *a)
{
	for (unsigned int i = 0; i < TENANTS; i++)
		if (a->in[i].entered)
			moat_tenant_poll(a->world->tenant[i].tenant);
	/* Only this thread writes it. */
	atomic_store_explicit(&a->polls, a->polls + 1, memory_order_relaxed);
	if (a->polls % 64 == 0)
		sched_yield();
}

/* By the tenant's calls, or by the lane's. */
void actor_offline(struct actor *a)
{
	for (unsigned int i = 0; i < TENANTS; i++) {
		struct moat_tenant *t = a->world->tenant[i].tenant;

		if (!a->in[i].entered)
			continue;
		if (dice_one_in(&a->dice, 2))
			must(a, moat_tenant_offline(t));
		else
			moat_lane_offline(moat_tenant_lane(t));
	}
	atomic_store(&a->sleeping, true);
}

void actor_online(struct actor *a)
{
	atomic_store(&a->sleeping, false);
	for (unsigned int i = 0; i < TENANTS; i++) {
		struct moat_tenant *t = a->world->tenant[i].tenant;

		if (!a->in[i].entered)
			continue;
		if (dice_one_in(&a->dice, 2))
			must(a, moat_tenant_online(t));
		else
			moat_lane_online(moat_tenant_lane(t));
	}
}

/* --------------------------------------------------------------------------------- membership */

/* As with a gate: the member counts itself in and then reads `closed`; the closing actor does it in
 * the opposite order. */
bool actor_join(struct actor *a, struct tenant *t)
{
	struct membership *in = &a->in[t->index];

	if (in->member)
		return true;
	atomic_fetch_add(&t->members, 1);
	if (atomic_load(&t->closed)) {
		atomic_fetch_sub(&t->members, 1);
		return false;
	}
	in->member = true;
	return true;
}

bool actor_enter(struct actor *a, struct tenant *t)
{
	struct membership *in = &a->in[t->index];
	unsigned int failed;
	int rc;

	if (in->entered)
		return true;
	if (!a->can_enter)
		return false;
	inject(dice_one_in(&a->dice, 4) ? INJECT_MEMORY : INJECT_NOTHING, dice_below(&a->dice, 12),
		1);
	rc = moat_tenant_lcore_enter(t->tenant);
	failed = inject_end();
	if (rc == -ENOMEM && failed != 0)
		return false; /* try again later */
	if (rc != 0) {
		if (a->kind == ACTOR_LCORE)
			fault(a, "an EAL lcore is not let in: %s", moat_error_text());
		a->can_enter = false;
		return false;
	}
	in->entered = true;
	return true;
}

struct tenant *actor_tenant(struct actor *a, bool entered)
{
	struct tenant *t = &a->world->tenant[dice_below(&a->dice, TENANTS)];

	if (!actor_join(a, t) || (entered && !actor_enter(a, t)))
		return NULL;
	return t;
}

void actor_leave(struct actor *a, struct tenant *t)
{
	struct membership *in = &a->in[t->index];

	if (!in->entered)
		return;
	maps_end(a, t);
	must(a, moat_tenant_lcore_leave(t->tenant));
	in->entered = false;
}

/* The order is random, because a thread that has left may free, too. */
void actor_part(struct actor *a, struct tenant *t)
{
	struct membership *in = &a->in[t->index];
	bool first = dice_one_in(&a->dice, 2);

	if (!in->member)
		return;
	if (first)
		pocket_empty(a, t);
	actor_leave(a, t);
	pocket_empty(a, t);
	in->member = false;
	atomic_fetch_sub(&t->members, 1);
}

/* ------------------------------------------------------------------------------------- pockets */

void pocket_put(struct actor *a, struct tenant *t, struct rte_mbuf *m)
{
	struct membership *in = &a->in[t->index];

	if (in->n == POCKET)
		packet_free(a, pocket_take(a, t));
	in->pocket[in->n++] = m;
}

/* @return a random packet of the pocket; NULL: it is empty */
struct rte_mbuf *pocket_take(struct actor *a, struct tenant *t)
{
	struct membership *in = &a->in[t->index];
	struct rte_mbuf *m;
	unsigned int i;

	if (in->n == 0)
		return NULL;
	i = dice_below(&a->dice, in->n);
	m = in->pocket[i];
	in->pocket[i] = in->pocket[--in->n];
	return m;
}

struct rte_mbuf *pocket_see(struct actor *a, struct tenant *t)
{
	struct membership *in = &a->in[t->index];

	return in->n == 0 ? NULL : in->pocket[dice_below(&a->dice, in->n)];
}

void pocket_empty(struct actor *a, struct tenant *t)
{
	struct rte_mbuf *m;

	while ((m = pocket_take(a, t)) != NULL)
		packet_free(a, m);
}

/* ----------------------------------------------------------------------------------- the loop */

static uint64_t dice_seed(const struct actor *a)
{
	struct dice d = { a->world->seed ^ (uint64_t)(a->index + 1) << 56 };

	d.state = dice_draw(&d) + a->op * UINT64_C(0x9e3779b97f4a7c15);
	return dice_draw(&d);
}

static void operate(struct actor *a)
{
	const struct operation *o;
	struct tally *tally;
	uint64_t start, took;

	a->dice.state = dice_seed(a);
	for (unsigned int i = 0; i < TENANTS; i++)
		if (a->in[i].member && atomic_load(&a->world->tenant[i].closed))
			actor_part(a, &a->world->tenant[i]);
	o = operation_draw(&a->dice);
	if (!a->can_enter && !o->plain)
		return;
	/* Release: pairs with progress.c, which then sees to which operation a beat belongs. */
	atomic_store_explicit(&a->doing, (uint32_t)(o - operations), memory_order_relaxed);
	actor_step(a);
	start = rte_rdtsc();
	o->run(a);
	took = rte_rdtsc() - start;
	atomic_store_explicit(&a->doing, IDLE, memory_order_release);
	tally = &a->tally[o - operations];
	tally->count++;
	if (took > tally->longest)
		tally->longest = took;
	if (a->op % 8 == 0 || dice_one_in(&a->dice, 2))
		actor_turn(a);
}

static bool actor_ends(const struct actor *a, uint64_t op)
{
	uint64_t most = a->world->request->operations;

	return atomic_load_explicit(&a->world->stop, memory_order_relaxed) ||
		(most != 0 ? op >= most : rte_rdtsc() > a->world->deadline);
}

static void actor_run(struct actor *a)
{
	a->tid = rte_gettid();
	a->can_enter = true;
	atomic_store(&a->running, true);
	/* Relaxed: only this thread writes it; another thread may print it. */
	for (uint64_t op = 0; !actor_ends(a, op); op++) {
		atomic_store_explicit(&a->op, op, memory_order_relaxed);
		operate(a);
	}
	for (unsigned int i = 0; i < TENANTS; i++)
		actor_part(a, &a->world->tenant[i]);
	atomic_store(&a->running, false);
	atomic_store(&a->ended, true);
}

/* EAL passes `arg` through a pipe, which ThreadSanitizer does not see. */
static int actor_main_lcore(void *arg)
{
	TAKEN_OVER(arg);
	actor_run(arg);
	return 0;
}

static void *actor_main_thread(void *arg)
{
	struct actor *a = arg;

	/* It fails if no lcore is left. */
	bool registered = a->kind == ACTOR_REGISTERED && rte_thread_register() == 0;

	actor_run(a);
	if (registered)
		rte_thread_unregister();
	return NULL;
}

/* The first two actors are lcores; the kind of each other one is drawn. */
void actors_start(struct world *w)
{
	unsigned int lcore = rte_get_next_lcore(-1, 1, 0);

	for (unsigned int i = 0; i < w->nr_actors; i++) {
		struct actor *a = &w->actor[i];

		a->world = w;
		a->index = i;
		a->kind = i < 2 || !dice_one_in(&w->dice, 3) ? ACTOR_LCORE
			: dice_one_in(&w->dice, 2)           ? ACTOR_REGISTERED
							     : ACTOR_PLAIN;
		a->doing = IDLE;
		a->memory = aligned_alloc(MOAT_2M_SIZE, MOAT_2M_SIZE);
		a->tally = calloc(nr_operations, sizeof(*a->tally));
		if (a->memory == NULL || a->tally == NULL)
			rte_panic("no memory for an actor\n");
		if (a->kind == ACTOR_LCORE && lcore >= RTE_MAX_LCORE)
			a->kind = ACTOR_PLAIN;
	}
	for (unsigned int i = 0; i < w->nr_actors; i++) {
		struct actor *a = &w->actor[i];

		if (a->kind != ACTOR_LCORE) {
			pthread_create(&a->thread, NULL, actor_main_thread, a);
			continue;
		}
		HANDED_OVER(a);
		rte_eal_remote_launch(actor_main_lcore, a, lcore);
		lcore = rte_get_next_lcore(lcore, 1, 0);
	}
}

void actors_join(struct world *w)
{
	for (unsigned int i = 0; i < w->nr_actors; i++)
		if (w->actor[i].kind != ACTOR_LCORE)
			pthread_join(w->actor[i].thread, NULL);
	/* DPDK's own wait would take a whole processor. */
	for (unsigned int i = 0; i < w->nr_actors; i++)
		while (!atomic_load(&w->actor[i].ended))
			usleep(1000);
	rte_eal_mp_wait_lcore();
}
