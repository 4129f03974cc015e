/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The window of granules grows.
 *
 * A window for all of 48 bits of IOVA is 2 GiB of address space. That suits one domain. With ten
 * thousand, each window's first page needs tables of its own in the processor's page table, at two
 * levels, and reading them costs more than everything else that a burst does. So the first window
 * is small and lies behind the table's head, where a huge page holds many of them (moat_slab.h).
 * When a map reaches beyond it, a larger window replaces it: PT_WINDOW_HALF granules, then all.
 *
 * Readers keep windows (struct moat_iotlb has a copy of the pointer), so older ones stay, and
 * writers keep them up to date: a granule is stored in every window that holds it, in the order of
 * the list. Writers do not take the lock under which a window grows:
 *
 *  1. The new window, all zero, is linked behind the present one (`newer`). W1: a barrier on every
 *     processor that runs a thread of this process (membarrier(2)).
 *  2. The present window's granules are copied until a pass finds no difference.
 *  3. The new window is published to readers.
 *
 * W2: a writer stores to a window and then loads `newer`. Either the writer finds the new window
 * and stores there itself, or its store came before W1 and is copied. The copy may overwrite a
 * value that a writer has just stored with an older one. Then the next pass, after a full barrier,
 * finds a difference, because the writer has stored to the older window first. Readers see neither
 * value, because the window is not yet published. Without membarrier(2) the first window is the
 * largest that the system grants and never grows.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>

#include "pt_internal.h"

static pthread_once_t barrier_once = PTHREAD_ONCE_INIT;
static bool has_barrier;

static void barrier_register(void)
{
	has_barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* W1. False: the system refuses. */
static bool barrier(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

/* Domains use the same IOVAs, and the kernel places windows one below the other. If their distance
 * were a power of two, the processor's page-table entries for all of them would lie at one offset
 * in their pages and so share few sets of its caches. So each window is longer by what a cache line
 * of page-table entries maps, and from 1 GiB on by what a line of the next level's maps, too. */
static size_t window_spread(size_t bytes)
{
	size_t entries = RTE_CACHE_LINE_SIZE / sizeof(uint64_t);

	return entries * MOAT_PAGE_SIZE + (bytes >= MOAT_1G_SIZE ? entries * MOAT_2M_SIZE : 0);
}

/* Reserve address space for `nr` granules. False: the system refuses. */
static bool window_reserve(struct pt_window *window, uint64_t nr)
{
	size_t bytes = nr * sizeof(struct moat_pt_granule);
	void *m;

	bytes += window_spread(bytes);
	m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1, 0);
	if (m == MAP_FAILED)
		return false;
	/* One used granule must not cost 2 MiB of memory, and core dumps need no granules. */
	(void)madvise(m, bytes, MADV_NOHUGEPAGE);
	(void)madvise(m, bytes, MADV_DONTDUMP);
	window->granules = m;
	window->nr = nr;
	window->reserved = bytes;
	return true;
}

static void window_publish(struct pt_impl *impl, const struct pt_window *window)
{
	/* release, both: a reader that sees the new window sees what was copied, and one that sees
	 * the new count sees the new window. Pairs with the acquires in moat_pt_window(). */
	atomic_store_explicit(&impl->pub.granules, window->granules, memory_order_release);
	atomic_store_explicit(&impl->pub.nr_granules, window->nr, memory_order_release);
}

void pt_window_open(struct pt_impl *impl, unsigned int width)
{
	struct pt_window *first = &impl->window;

	pthread_once(&barrier_once, barrier_register);
	pthread_mutex_init(&impl->growing, NULL);
	impl->most_granules = UINT64_C(1) << (RTE_MIN(width, 48u) - MOAT_2M_SHIFT);
	impl->newest = first;
	first->granules = (struct moat_pt_granule *)(impl + 1);
	first->nr = PT_WINDOW_SMALL;
	if (!has_barrier) {
		for (uint64_t n = impl->most_granules; n > PT_WINDOW_SMALL; n /= 2)
			if (window_reserve(first, n))
				break;
		impl->most_granules = first->nr;
	}
	window_publish(impl, first);
}

void pt_window_close(struct pt_impl *impl)
{
	struct pt_window *w = &impl->window, *next;

	do {
		next = atomic_load_explicit(&w->newer, memory_order_relaxed);
		if (w->reserved != 0)
			munmap(w->granules, w->reserved);
		if (w != &impl->window)
			free(w);
		w = next;
	} while (w != NULL);
	pthread_mutex_destroy(&impl->growing);
}

/* One pass of step 2. @return true: something differed */
static bool window_copy(const struct pt_window *from, const struct pt_window *to)
{
	bool differs = false;

	for (uint64_t g = 0; g < from->nr; g++) {
		/* acquire: the table before its delta, as readers load them */
		uintptr_t table =
			atomic_load_explicit(&from->granules[g].table, memory_order_acquire);
		uintptr_t delta =
			atomic_load_explicit(&from->granules[g].delta, memory_order_acquire);

		/* relaxed: readers do not use `to` yet, and writers store to `from` first */
		if (table == atomic_load_explicit(&to->granules[g].table, memory_order_relaxed) &&
			delta == atomic_load_explicit(&to->granules[g].delta, memory_order_relaxed))
			continue;
		differs = true;
		atomic_store_explicit(&to->granules[g].delta, delta, memory_order_relaxed);
		atomic_store_explicit(&to->granules[g].table, table, memory_order_relaxed);
	}
	return differs;
}

/* Link a window that holds granule `last` behind the newest. NULL: no memory or address space. */
static struct pt_window *window_add(struct pt_impl *impl, uint64_t last)
{
	struct pt_window *window = calloc(1, sizeof(*window));
	uint64_t most = impl->most_granules;
	bool ok = false;

	if (window == NULL)
		return NULL;
	if (last < PT_WINDOW_HALF && impl->newest->nr < PT_WINDOW_HALF && PT_WINDOW_HALF < most)
		ok = window_reserve(window, PT_WINDOW_HALF);
	for (uint64_t n = most; n > last && !ok; n /= 2) /* if refused, half of it */
		ok = window_reserve(window, n);
	if (!ok) {
		free(window);
		return NULL;
	}
	/* release: pairs with the acquire in pt_window_next() */
	atomic_store_explicit(&impl->newest->newer, window, memory_order_release);
	return window;
}

void pt_window_grow(struct pt_impl *impl, uint64_t last)
{
	struct pt_window *window = NULL;

	pthread_mutex_lock(&impl->growing);
	if (last >= impl->newest->nr && impl->newest->nr < impl->most_granules) {
		if (last < impl->most_granules)
			window = window_add(impl, last);
		else if (impl->newest->nr < impl->most_granules) /* the part that fits */
			window = window_add(impl, impl->most_granules - 1);
		if (window == NULL || !barrier()) {
			/* Do not grow again: the virtual addresses of leaves beyond the window are
			 * in companions from now on. */
			impl->most_granules = impl->newest->nr;
		} else {
			while (window_copy(impl->newest, window))
				atomic_thread_fence(
					memory_order_seq_cst); /* before the next pass */
			impl->newest = window;
			window_publish(impl, window);
		}
	}
	pthread_mutex_unlock(&impl->growing);
}
