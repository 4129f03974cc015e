/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SPIN_H
#define MOAT_SPIN_H

/**
 * @file
 * The spinlock that moat uses internally. It consists of C11 atomics, so that ThreadSanitizer sees
 * what it orders; rte_spinlock_t is inline assembly, which hides that.
 *
 * Hold it for a few dozen cycles, and never across a wait. A waiter yields the processor now and
 * then, because the holder may have been preempted on the same one. All zero is unlocked.
 */

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <rte_pause.h>

struct moat_spin {
	_Atomic int taken;
};

/** @return true: the caller holds the lock now */
static inline bool moat_spin_try(struct moat_spin *lock)
{
	/* acquire: pairs with the release in moat_spin_unlock() */
	return !atomic_exchange_explicit(&lock->taken, 1, memory_order_acquire);
}

static inline void moat_spin_lock(struct moat_spin *lock)
{
	unsigned int spins = 0;

	while (!moat_spin_try(lock)) {
		/* relaxed: only a hint; moat_spin_try() orders */
		while (atomic_load_explicit(&lock->taken, memory_order_relaxed)) {
			rte_pause();
			if (++spins % 256 == 0)
				sched_yield();
		}
	}
}

static inline void moat_spin_unlock(struct moat_spin *lock)
{
	/* release: pairs with the acquire in moat_spin_try() */
	atomic_store_explicit(&lock->taken, 0, memory_order_release);
}

#endif /* MOAT_SPIN_H */
