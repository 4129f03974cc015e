/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_WINDOW_H
#define MOAT_VTD_WINDOW_H

/**
 * @file
 * The 4 KiB page of registers: the only way between the driver and a unit.
 *
 * On a machine it is the DRHD's page, mapped; in process it is the software unit's functions. The
 * driver cannot tell which, so what is proven on one holds on the other.
 *
 * Accesses are strongly ordered, as to uncached memory: every store before a write is visible to
 * the unit before the write is, and a read returns after the writes before it have arrived.
 */

#include <rte_atomic.h>

#include "moat_vtd_regs.h"

struct moat_vtd_window {
	volatile void *page; /* mapped registers; NULL: use the functions */
	uint32_t (*read32)(void *ctx, uint32_t offset);
	uint64_t (*read64)(void *ctx, uint32_t offset);
	void (*write32)(void *ctx, uint32_t offset, uint32_t value);
	void (*write64)(void *ctx, uint32_t offset, uint64_t value);
	/** Software unit: work for a while (fetch descriptors whose time has come). NULL: it works
	 * by itself. Any thread. */
	void (*run)(void *ctx);
	void *ctx;
};

/**
 * Read a 32-bit register.
 *
 * @param w the unit's registers
 * @param offset bytes, aligned to 4 (moat_vtd_regs.h)
 * @return the value
 *
 * Thread-safe. Data path.
 */
static inline uint32_t vtd_read32(const struct moat_vtd_window *w, uint32_t offset)
{
	if (w->page == NULL)
		return w->read32(w->ctx, offset);
	return *(volatile uint32_t *)((volatile char *)w->page + offset);
}

/**
 * Read a 64-bit register.
 *
 * @param w the unit's registers
 * @param offset bytes, aligned to 8
 * @return the value
 *
 * Thread-safe. Data path.
 */
static inline uint64_t vtd_read64(const struct moat_vtd_window *w, uint32_t offset)
{
	if (w->page == NULL)
		return w->read64(w->ctx, offset);
	return *(volatile uint64_t *)((volatile char *)w->page + offset);
}

/**
 * Write a 32-bit register, after every store before the call.
 *
 * @param w the unit's registers
 * @param offset bytes, aligned to 4
 * @param value what to write
 *
 * Thread-safe; the driver must see to it that no two threads write one register at once where that
 * matters. Data path.
 */
static inline void vtd_write32(const struct moat_vtd_window *w, uint32_t offset, uint32_t value)
{
	/* Tables and descriptors before the register that shows them to the unit. Uncached stores
	 * are ordered behind ordinary ones on x86, so it is the compiler that is held here. */
	rte_compiler_barrier();
	if (w->page == NULL)
		w->write32(w->ctx, offset, value);
	else
		*(volatile uint32_t *)((volatile char *)w->page + offset) = value;
}

/**
 * Write a 64-bit register, after every store before the call.
 *
 * @param w the unit's registers
 * @param offset bytes, aligned to 8
 * @param value what to write
 *
 * Thread-safe; as vtd_write32(). Data path.
 */
static inline void vtd_write64(const struct moat_vtd_window *w, uint32_t offset, uint64_t value)
{
	rte_compiler_barrier(); /* as in vtd_write32() */
	if (w->page == NULL)
		w->write64(w->ctx, offset, value);
	else
		*(volatile uint64_t *)((volatile char *)w->page + offset) = value;
}

#endif /* MOAT_VTD_WINDOW_H */
