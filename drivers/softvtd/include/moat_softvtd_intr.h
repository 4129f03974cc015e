/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SOFTVTD_INTR_H
#define MOAT_SOFTVTD_INTR_H

/**
 * @file
 * Interrupts of the software unit's devices: requests, remapping, posting, and the oracle for them.
 *
 * A device interrupts by moat_softvtd_interrupt(), or by a moat_softvtd_dma_write() of four aligned
 * bytes to 0xFEEx_xxxx. While interrupt remapping is off (GSTS.IRES), every request is delivered as
 * it is, even one that a hostile device makes up. While it is on, a request in remappable format is
 * looked up in the interrupt-remapping table, verified and delivered as the entry (IRTE) says; a
 * request in compatibility format is blocked, or, with GSTS.CFIS and without IRTA.EIME, delivered
 * as it is. Delivered interrupts go to the unit's *sink*.
 *
 * Here, too, the unit is an adversary: it keeps each entry that it has read, and with `prefetch`
 * entries of the same line, until an invalidation of the interrupt-entry cache covers them; with
 * CAP.CM it keeps absent entries, too.
 *
 * The driver tells the oracle of each entry that it gives to a source-id, revokes, or releases
 * (when the invalidation is complete). An interrupt by a released entry is *stale*: the oracle
 * counts it, and names the revocation.
 */

#include "moat_softvtd.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** An interrupt as it is delivered. */
struct moat_softvtd_interrupt {
	moat_sid_t sid;    /* the requester */
	uint16_t index;    /* of the IRTE, if `remapped` */
	bool remapped;     /* delivered as an IRTE says; false: as the request says */
	bool notification; /* of a posted-interrupt descriptor: vector NV, destination NDST */
	uint8_t vector;
	uint8_t delivery;     /* delivery mode: 0 fixed, 1 lowest priority, 4 NMI, ... */
	bool logical;         /* destination mode */
	bool level;           /* trigger mode */
	uint32_t destination; /* APIC ID, or logical destination */
};

/**
 * Set the function that receives delivered interrupts. A unit has one.
 *
 * @param sv the unit; no device may interrupt yet
 * @param sink called by the device's thread, with no lock of the unit held; an invalidation of the
 *   entry completes only after the call has returned. NULL: interrupts go nowhere
 * @param ctx given to `sink`
 *
 * Thread safety: one thread, before devices interrupt. Control path.
 */
void moat_softvtd_interrupt_sink(struct moat_softvtd *sv,
	void (*sink)(void *ctx, const struct moat_softvtd_interrupt *interrupt), void *ctx);

/**
 * Make a device's interrupt request: a write of `data` to `address`.
 *
 * @param sv the unit
 * @param sid the requester's source-id
 * @param address in 0xFEEx_xxxx
 * @param data what is written
 * @return 0: delivered, or posted
 * @return the fault reason (0x20 to 0x28), recorded unless the entry's FPD is set
 *
 * Thread-safe. Data path.
 */
int moat_softvtd_interrupt(struct moat_softvtd *sv, moat_sid_t sid, uint64_t address,
	uint32_t data);

/* ---------------------------------------------------------------------------- the oracle */

/**
 * Tell the oracle that an entry is about to be written for a source-id.
 *
 * @param sv the unit; without an oracle nothing happens, as in the next two calls
 * @param index of the entry
 * @param sid the only source-id that may use it
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_irte_given(struct moat_softvtd *sv, uint16_t index, moat_sid_t sid);

/**
 * Tell the oracle that an entry is absent in the table now; the unit may still have it cached.
 *
 * @param sv the unit
 * @param index of the entry
 * @param cause names the revocation
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_irte_revoked(struct moat_softvtd *sv, uint16_t index, uint64_t cause);

/**
 * Tell the oracle that a revocation is complete: from now on no interrupt may come by the old
 * entry.
 *
 * @param sv the unit
 * @param index of the entry
 * @param cause as given to moat_softvtd_irte_revoked()
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_irte_released(struct moat_softvtd *sv, uint16_t index, uint64_t cause);

/** Why an interrupt is stale. */
enum moat_softvtd_intr_why {
	MOAT_SOFTVTD_INTR_RELEASED, /* its entry was released */
	MOAT_SOFTVTD_INTR_WILD,     /* its entry was never given */
	MOAT_SOFTVTD_INTR_FOREIGN,  /* its entry was given to another source-id */
	MOAT_SOFTVTD_INTR_WHYS,
};

/**
 * Get the text for why an interrupt was stale.
 *
 * @param why one of enum moat_softvtd_intr_why
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_intr_why_name(enum moat_softvtd_intr_why why);

/** A stale interrupt. */
struct moat_softvtd_stale_interrupt {
	uint64_t cause; /* of the revocation; 0: there was none */
	uint64_t age;   /* TSC cycles since the release; 0: not released */
	uint64_t tsc;
	uint16_t index;
	moat_sid_t sid;
	uint8_t why; /* enum moat_softvtd_intr_why */
	bool cached; /* the entry came from the interrupt-entry cache */
};

/**
 * Get the latest stale interrupts, newest first.
 *
 * @param sv the unit
 * @param list receives up to `n` of the 64 that are kept
 * @param n room in `list`
 * @return how many were copied
 *
 * Thread-safe. Control path.
 */
unsigned int moat_softvtd_stale_interrupts(struct moat_softvtd *sv,
	struct moat_softvtd_stale_interrupt list[], unsigned int n);

/* ------------------------------------------------------------------------------ counters */

struct moat_softvtd_intr_stats {
	uint64_t requests;         /* made by devices */
	uint64_t remapped;         /* delivered as an IRTE says */
	uint64_t compatible;       /* delivered as the request says, remapping on (CFIS) */
	uint64_t unremapped;       /* delivered as the request says, remapping off */
	uint64_t posted;           /* bits set in posted-interrupt descriptors */
	uint64_t notified;         /* notifications delivered for posted interrupts */
	uint64_t blocked;          /* the sum of fault reasons 0x20 to 0x28 */
	uint64_t hits, misses;     /* of the interrupt-entry cache */
	uint64_t invalidated;      /* entries of that cache that invalidations dropped */
	uint64_t stale_interrupts; /* the sum of stale[] */
	uint64_t stale[MOAT_SOFTVTD_INTR_WHYS];
	uint64_t unreleased; /* by a revoked entry that is not yet released: legitimate */
};

/**
 * Read the counters of interrupts. Each is read atomically, but not all at the same moment.
 *
 * @param sv the unit
 * @param stats receives the counters
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_intr_stats(struct moat_softvtd *sv, struct moat_softvtd_intr_stats *stats);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_SOFTVTD_INTR_H */
