/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The judge of progress: a thread that checks all actors every two milliseconds.
 *
 * There are more threads than processors, and the machine has other work, so wall-clock time says
 * nothing: a call may wait for a lane whose thread waits for a processor. Therefore time is counted
 * in *rounds*. A round ends at the first check at which each other actor has polled since the round
 * began, or has had a processor for a millisecond (a thread that waits does its duties in its loop,
 * so that suffices), or sleeps; the same must hold for each thread on which a unit runs. While
 * another thread does not get a processor, no round ends, and what a call does meanwhile (it spins,
 * or waits for a lock) does not count.
 *
 * Within two rounds every reader has been quiescent once. So a call's own ticket is done then, and
 * so is a ticket of another lane for which it asked. A burst may have to ask each lane in turn, so
 * two rounds for each actor and two for the lane of the threads without one do not count. In each
 * round after that the call *stalls*: for the time that it was on a processor or asleep
 * (/proc/self/task/TID/schedstat and stat), but at most two milliseconds.
 *
 * The time of an actor that is offline (blocked, or on a control path that takes memory and time)
 * does not count, because no reader waits for it. The time of an actor that moves a queue does not
 * count either, because it waits for the wire and for buffers. But no call may take longer than
 * MOST_S seconds and MOST_ROUNDS rounds of the others together: on a busy machine seconds alone say
 * nothing here, either.
 */

#include <dirent.h>
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

/* With two processors and eight actors this takes less than MOST_S. */
#define MOST_ROUNDS 1000u

#define OTHERS 24u /* threads */
#define LOOKS  (ACTORS + OTHERS)

struct look {
	uint64_t beat, polls;
	uint64_t ran_us; /* on a processor, since it began */
	bool asleep;
	bool excused; /* ended, offline, or on a control path: its own time does not count */
	bool ended;
};

/* The state of an actor's current call. */
struct watch {
	uint64_t beat;
	unsigned int rounds;     /* rounds of the other actors */
	uint64_t began_us;       /* wall-clock time */
	unsigned int since;      /* rounds of the others since began_us, also while excused */
	struct look last[LOOKS]; /* at the end of the last of these rounds */
	uint64_t slept_us;       /* in this round */
	uint64_t stall_us;       /* in rounds that have ended */
	struct look then[LOOKS]; /* at the round's beginning */
};

static struct world *world;
static pthread_t thread;
static atomic_bool stop;
static uint64_t longest[128]; /* by operation */

/* Read the first line of a file about a thread. Empty: the thread has ended. */
static void line_read(pid_t tid, const char *file, char *text, size_t room)
{
	char path[64];
	FILE *f;

	text[0] = '\0';
	snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, file);
	f = fopen(path, "r");
	if (f == NULL)
		return;
	if (fgets(text, (int)room, f) == NULL)
		text[0] = '\0';
	fclose(f);
}

static void thread_look(pid_t tid, struct look *l)
{
	const char *state;
	char text[512];

	line_read(tid, "schedstat", text, sizeof(text));
	l->ran_us = strtoull(text, NULL, 10) / 1000;
	line_read(tid, "stat", text, sizeof(text));
	state = strrchr(text, ')');
	l->asleep = state == NULL || state[1] == '\0' || state[2] != 'R';
}

static void actor_look(struct actor *a, struct look *l)
{
	/* Acquire: pairs with the release in operate(), so `doing` belongs to this beat. */
	l->beat = atomic_load_explicit(&a->beat, memory_order_acquire);
	l->polls = atomic_load_explicit(&a->polls, memory_order_relaxed);
	l->ended = !atomic_load(&a->running);
	l->excused = l->ended || atomic_load(&a->sleeping) || atomic_load(&a->control);
	if (!l->ended)
		thread_look(a->tid, l);
}

/* The process's threads that are not actors', among them those of units. */
static pid_t bystander[OTHERS];
static unsigned int nr_bystanders;

static void bystanders_find(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *d;

	nr_bystanders = 0;
	while (tasks != NULL && nr_bystanders < OTHERS && (d = readdir(tasks)) != NULL) {
		pid_t tid = atoi(d->d_name);
		bool known = tid == 0 || tid == rte_gettid();

		for (unsigned int i = 0; i < world->nr_actors; i++)
			known |= tid == world->actor[i].tid;
		if (!known)
			bystander[nr_bystanders++] = tid;
	}
	if (tasks != NULL)
		closedir(tasks);
}

/* Have all others run since the round began? */
static bool round_ends(const struct look then[], unsigned int me, const struct look now[])
{
	for (unsigned int i = 0; i < world->nr_actors; i++)
		if (i != me && !now[i].ended && !now[i].asleep && now[i].polls == then[i].polls &&
			now[i].ran_us < then[i].ran_us + RAN_US)
			return false;
	for (unsigned int i = ACTORS; i < ACTORS + nr_bystanders; i++)
		if (!now[i].asleep && now[i].ran_us < then[i].ran_us + RAN_US)
			return false;
	return true;
}

static void round_begin(struct watch *w, const struct look now[])
{
	w->slept_us = 0;
	memcpy(w->then, now, sizeof(w->then));
}

static void round_end(unsigned int i, struct watch *w, const struct look now[])
{
	uint32_t doing = atomic_load_explicit(&world->actor[i].doing, memory_order_relaxed);
	uint64_t took = now[i].ran_us - w->then[i].ran_us + w->slept_us;

	/* Is it still the same call? */
	if (++w->rounds > ROUNDS * (world->nr_actors + 1) && doing != IDLE &&
		atomic_load_explicit(&world->actor[i].beat, memory_order_acquire) == w->beat) {
		w->stall_us += RTE_MIN(took, (uint64_t)LOOK_US);
		longest[doing] = RTE_MAX(longest[doing], w->stall_us);
		if (w->stall_us > world->request->bound_us + world->late_us)
			fault(&world->actor[i],
				"%s stalls: %" PRIu64 " us while all others run, %" PRIu64
				" rounds",
				operations[doing].name, w->stall_us, (uint64_t)w->rounds);
	}
	round_begin(w, now);
}

/* An operation that does not end at all. */
static void watch_long(unsigned int i, struct watch *w, const struct look now[], uint64_t us)
{
	struct actor *a = &world->actor[i];

	if (now[i].beat != w->beat || w->began_us == 0) {
		w->began_us = us;
		w->since = 0;
		memcpy(w->last, now, sizeof(w->last));
	} else if (round_ends(w->last, i, now)) {
		w->since++;
		memcpy(w->last, now, sizeof(w->last));
	}
	if (!atomic_load(&a->running) || us - w->began_us < MOST_S * UINT64_C(1000000) ||
		w->since < MOST_ROUNDS)
		return;
	fault(a, "an operation has not ended after %u s and %u rounds", MOST_S, w->since);
	w->began_us = us;
}

static void watch(unsigned int i, struct watch *w, const struct look now[], uint64_t us)
{
	const struct actor *a = &world->actor[i];

	watch_long(i, w, now, us);
	if (now[i].beat != w->beat || now[i].excused ||
		atomic_load_explicit(&a->doing, memory_order_relaxed) == IDLE) {
		w->beat = now[i].beat;
		w->rounds = 0;
		w->stall_us = 0;
		round_begin(w, now);
	}
	if (now[i].asleep)
		w->slept_us += LOOK_US;
	if (us != w->began_us && round_ends(w->then, i, now))
		round_end(i, w, now);
}

static void *watch_all(void *arg)
{
	static struct watch watches[ACTORS];
	struct look now[LOOKS] = { 0 };

	memset(watches, 0, sizeof(watches));
	for (unsigned int i = 0; i < world->nr_actors; i++)
		while (!atomic_load(&world->actor[i].running) &&
			!atomic_load(&world->actor[i].ended))
			usleep(100);
	bystanders_find();
	while (!atomic_load(&stop)) {
		uint64_t us;

		for (unsigned int i = 0; i < world->nr_actors; i++)
			actor_look(&world->actor[i], &now[i]);
		for (unsigned int i = 0; i < nr_bystanders; i++)
			thread_look(bystander[i], &now[ACTORS + i]);
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
