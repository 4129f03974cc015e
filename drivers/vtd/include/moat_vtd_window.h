/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_WINDOW_H
#define MOAT_VTD_WINDOW_H

/**
 * @file
 * The register window: the only way by which the driver reaches a unit.
 *
 * On a machine the window is the DRHD's 4 KiB page, mapped; in process it is functions of the
 * software unit. The driver does not depend on which, so what is proven on one holds on the other.
 *
 * Accesses are strongly ordered, as to uncached memory: stores before a register write are visible
 * to the unit before the write is, and a register read returns after all earlier writes have
 * arrived.
 */

#include <rte_atomic.h>

#include "moat_vtd_regs.h"

struct moat_vtd_window {
	volatile void *page; /* mapped registers; NULL: use the functions */
	uint32_t (*read32)(void *ctx, uint32_t offset);
	uint64_t (*read64)(void *ctx, uint32_t offset);
	void (*write32)(void *ctx, uint32_t offset, uint32_t value);
	void (*write64)(void *ctx, uint32_t offset, uint64_t value);
	/** Let a software unit work for a while (fetch descriptors that are due). Any thread may
	 * call it. NULL: the unit works by itself. */
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
 * Thread-safe; where the order matters, the caller must ensure that no two threads write one
 * register at once. Data path.
 */
static inline void vtd_write32(const struct moat_vtd_window *w, uint32_t offset, uint32_t value)
{
	/* Stores to tables and descriptors come before the register that shows them to the unit.
	 * x86 orders uncached stores after ordinary ones, so only the compiler is restrained. */
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
