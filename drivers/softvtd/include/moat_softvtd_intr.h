/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SOFTVTD_INTR_H
#define MOAT_SOFTVTD_INTR_H

/**
 * @file
 * Interrupts of the software unit's devices: requests, remapping, posting, and the oracle for them.
 *
 * A device interrupts by moat_softvtd_interrupt(), or by any DMA write of four bytes to
 * 0xFEEx_xxxx. While interrupt remapping is off (GSTS.IRES), the request is delivered as it is, and
 * with it whatever a hostile device makes up. While it is on, a request in remappable format is
 * looked up in the interrupt-remapping table, verified and delivered as the entry (IRTE) says; one
 * in compatibility format is blocked, or, with GSTS.CFIS and without IRTA.EIME, delivered as it is.
 * Delivered interrupts go to the unit's *sink*.
 *
 * Here, too, the unit is an adversary: it keeps each entry that it has read, and with `prefetch`
 * entries of the same line, until an invalidation of the interrupt-entry cache covers them; with
 * CAP.CM also absent ones.
 *
 * The oracle is told which entry was given to which source-id, revoked, and released (the
 * invalidation was complete). An interrupt by an entry that was released is *stale*, counted and
 * pinned on its revocation.
 */

#include "moat_softvtd.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** An interrupt as it is delivered. */
struct moat_softvtd_interrupt {
	moat_sid_t sid;       /* the requester */
	uint16_t index;       /* of the IRTE, where `remapped` */
	bool remapped;        /* by an IRTE; false: the request's own words */
	bool notification;    /* of a posted-interrupt descriptor: vector NV, destination NDST */
	uint8_t vector;       /* ... */
	uint8_t delivery;     /* delivery mode: 0 fixed, 1 lowest priority, 4 NMI, ... */
	bool logical;         /* destination mode */
	bool level;           /* trigger mode */
	uint32_t destination; /* APIC ID, or logical destination */
};

/**
 * Where delivered interrupts go. One sink for a unit.
 *
 * @param sv the unit; no device may interrupt yet
 * @param sink called in the thread of the device, with no lock of the unit held, before the IEC
 *   invalidation that covers its entry can complete; NULL: nowhere
 * @param ctx given to `sink`
 *
 * Thread safety: one thread, before devices interrupt. Control path.
 */
void moat_softvtd_interrupt_sink(struct moat_softvtd *sv,
	void (*sink)(void *ctx, const struct moat_softvtd_interrupt *interrupt), void *ctx);

/**
 * A device's interrupt request: its write of `data` to `address`.
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
 * @param sv the unit; without an oracle nothing happens, as in the next two
 * @param index of the entry
 * @param sid the only source-id that may use it
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_irte_given(struct moat_softvtd *sv, uint16_t index, moat_sid_t sid);

/**
 * Tell the oracle that an entry is absent in the table; the unit may still have it.
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
 * @param cause as moat_softvtd_irte_revoked() had it
 *
 * Thread-safe. Control path.
 */
void moat_softvtd_irte_released(struct moat_softvtd *sv, uint16_t index, uint64_t cause);

/** Why an interrupt should not have been delivered. */
enum moat_softvtd_intr_why {
	MOAT_SOFTVTD_INTR_RELEASED, /* its entry was released */
	MOAT_SOFTVTD_INTR_WILD,     /* its entry was never given */
	MOAT_SOFTVTD_INTR_FOREIGN,  /* its entry was given to another source-id */
	MOAT_SOFTVTD_INTR_WHYS,
};

/**
 * Why an interrupt was stale, in words.
 *
 * @param why one of enum moat_softvtd_intr_why
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_softvtd_intr_why_name(enum moat_softvtd_intr_why why);

/** A stale interrupt. */
struct moat_softvtd_stale_interrupt {
	uint64_t cause; /* the revocation's; 0 where there was none */
	uint64_t age;   /* TSC cycles since the release */
	uint64_t tsc;
	uint16_t index;
	moat_sid_t sid;
	uint8_t why; /* enum moat_softvtd_intr_why */
	bool cached; /* the entry came from the interrupt-entry cache */
};

/**
 * The latest stale interrupts, newest first.
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
	uint64_t requests;         /* of devices */
	uint64_t remapped;         /* delivered by an entry */
	uint64_t compatible;       /* delivered by the request's own words, remapping on (CFIS) */
	uint64_t unremapped;       /* delivered by the request's own words, remapping off */
	uint64_t posted;           /* bits set in posted-interrupt descriptors */
	uint64_t notified;         /* notifications of those that were delivered */
	uint64_t blocked;          /* the sum of fault reasons 0x20 to 0x28 */
	uint64_t hits, misses;     /* of the interrupt-entry cache */
	uint64_t invalidated;      /* entries that invalidations took out of it */
	uint64_t stale_interrupts; /* the sum of stale[] */
	uint64_t stale[MOAT_SOFTVTD_INTR_WHYS];
	uint64_t unreleased; /* by an entry revoked, not yet released: legitimate */
};

/**
 * A snapshot of the counters of interrupts. Each is torn-free; together they may be of different
 * moments.
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
