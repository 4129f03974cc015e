/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The judge of progress: a thread that looks at all actors every two milliseconds.
 *
 * There are more threads than processors, and the machine has other work, so the clock on the wall says
 * nothing: a call waits for a lane that waits for a processor. But no call of moat's may need more than
 * that every other thread has run. So a call's *stall* begins when each other actor has twice begun
 * another operation, or has had a processor for a millisecond (a thread that waits, too, keeps its duties
 * in its loop), or sleeps, offline. From then on its time counts, both on a processor
 * (/proc/self/task/TID/schedstat) and asleep (stat: its state), but not while it waits for a processor itself.
 *
 * An actor that is offline (blocked, or on a control path that takes memory and time) does not count, as
 * nothing waits for it; but nothing at all may go on for longer than MOST_S seconds.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stress.h"

#define LOOK_US 2000
#define RAN_US  1000
#define ROUNDS  2u
#define MOST_S  30

struct look {
	uint64_t beat;
	uint64_t ran_us; /* on a processor, since it began */
	bool asleep;
	bool excused; /* ended, or offline */
};

/* What is known of an actor's call under way. */
struct watch {
	uint64_t beat;
	unsigned int rounds;      /* of the others */
	uint64_t began_us;        /* on the wall */
	uint64_t stalls_us;       /* ran_us when the stall began; 0: it has not */
	uint64_t slept_us;        /* since then */
	struct look then[ACTORS]; /* at the round's beginning */
};

static struct world *world;
static pthread_t thread;
static atomic_bool stop;
static uint64_t longest[128]; /* by operation */

/* The first line of a file about the actor's thread; empty: it has ended. */
static void line_read(const struct actor *a, const char *file, char *text, size_t room)
{
	char path[64];
	FILE *f;

	text[0] = '\0';
	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", a->tid, file);
	f = fopen(path, "r");
	if (f == NULL)
		return;
	if (fgets(text, (int)room, f) == NULL)
		text[0] = '\0';
	fclose(f);
}

static void look_at(struct actor *a, struct look *l)
{
	char text[512];
	const char *state;

	/* Acquire: with the release in operate(), `doing` is of this beat. */
	l->beat = atomic_load_explicit(&a->beat, memory_order_acquire);
	l->excused = !atomic_load(&a->running) || atomic_load(&a->sleeping);
	if (!atomic_load(&a->running))
		return;
	line_read(a, "schedstat", text, sizeof(text));
	l->ran_us = strtoull(text, NULL, 10) / 1000;
	line_read(a, "stat", text, sizeof(text));
	state = strrchr(text, ')');
	l->asleep = state != NULL && state[1] != '\0' && state[2] != 'R';
}

/* Have all the others run since the round began? */
static bool round_ends(const struct watch *w, unsigned int me, const struct look now[])
{
	for (unsigned int i = 0; i < world->nr_actors; i++)
		if (i != me && !now[i].excused && now[i].beat == w->then[i].beat &&
			now[i].ran_us < w->then[i].ran_us + RAN_US)
			return false;
	return true;
}

static void stall_add(struct actor *a, struct watch *w, const struct look *now)
{
	uint32_t doing = atomic_load_explicit(&a->doing, memory_order_relaxed);
	uint64_t stall;

	/* The same call still? */
	if (doing == IDLE || atomic_load_explicit(&a->beat, memory_order_acquire) != w->beat)
		return;
	w->slept_us += now->asleep ? LOOK_US : 0;
	stall = now->ran_us - w->stalls_us + w->slept_us;
	longest[doing] = RTE_MAX(longest[doing], stall);
	if (stall > world->request->bound_us + world->late_us)
		fault(a, "%s stalls for %" PRIu64 " us after all others have run",
			operations[doing].name, stall);
}

static void watch(unsigned int i, struct watch *w, const struct look now[], uint64_t us)
{
	struct actor *a = &world->actor[i];

	if (now[i].beat != w->beat ||
		atomic_load_explicit(&a->doing, memory_order_relaxed) == IDLE) {
		w->beat = now[i].beat;
		w->began_us = us;
	} else if (us - w->began_us > MOST_S * UINT64_C(1000000)) {
		fault(a, "an operation has not ended after %u s", MOST_S);
		w->began_us = us;
	} else if (w->stalls_us != 0) {
		if (!now[i].excused)
			stall_add(a, w, &now[i]);
		return;
	} else if (!now[i].excused && round_ends(w, i, now)) {
		if (++w->rounds == ROUNDS)
			w->stalls_us = now[i].ran_us;
		for (unsigned int k = 0; k < world->nr_actors; k++)
			w->then[k] = now[k];
		return;
	} else {
		return;
	}
	w->rounds = 0;
	w->stalls_us = 0;
	w->slept_us = 0;
	for (unsigned int k = 0; k < world->nr_actors; k++)
		w->then[k] = now[k];
}

static void *watch_all(void *arg)
{
	struct watch watches[ACTORS];
	struct look now[ACTORS] = { 0 };

	memset(watches, 0, sizeof(watches));
	while (!atomic_load(&stop)) {
		uint64_t us;

		for (unsigned int i = 0; i < world->nr_actors; i++)
			look_at(&world->actor[i], &now[i]);
		us = moat_now_us();
		for (unsigned int i = 0; i < world->nr_actors; i++)
			watch(i, &watches[i], now, us);
		usleep(LOOK_US);
	}
	return NULL;
}

void progress_start(struct world *w)
{
	world = w;
	atomic_store(&stop, false);
	if (pthread_create(&thread, NULL, watch_all, NULL) != 0)
		rte_panic("no thread to watch the others\n");
}

void progress_stop(void)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

uint64_t progress_longest(unsigned int operation)
{
	return longest[operation];
}
