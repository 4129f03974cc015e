/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_INTR_H
#define MOAT_VTD_INTR_H

/**
 * @file
 * Interrupt remapping by the VT-d driver: which devices may raise which interrupts.
 *
 * A device interrupts by writing four bytes to 0xFEEx_xxxx, which no DMA table stops. A unit that
 * remaps interrupts looks up the request in a table of entries (IRTE), each of which belongs to one
 * source-id. A device cannot use an entry that it was not given.
 *
 * Requests in the older *compatibility format* carry vector and processor themselves, and a unit
 * lets them pass for all of its devices or for none. The kernel's devices use that format, so:
 *  - *block* lets none pass. It is right if only tenants' devices are behind the unit. The driver
 *    checks that the unit takes the command (CFI) before it relies on it;
 *  - *compatible* lets all pass. The kernel's devices go on working, and **a tenant's device can
 *    raise any interrupt of the host**.
 *
 * moat_vtd_interrupt_give() gives an entry, and says what the device must write. The entry belongs
 * to a function in a domain, and is taken back when the function's last attachment to that domain
 * ends. Before that, the caller takes it back in two steps: moat_vtd_interrupt_revoke() makes the
 * entry absent and queues an invalidation of the unit's interrupt-entry cache; when
 * moat_vtd_interrupt_revoked() returns 1, the entry raises no interrupt any more, and its index may
 * be given to another function.
 *
 * An interrupt carries no PASID, and the unit verifies its source-id alone. So domains that have
 * PASIDs of one function could raise each other's interrupts. Therefore a function in several
 * domains is given no interrupt, and a function that has interrupts in one domain cannot enter a
 * second one. With `share_interrupts` (struct moat_vtd_conf) both are allowed.
 */

#include "moat_unit.h"
#include "moat_vtd_irte.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum moat_vtd_interrupts {
	MOAT_VTD_INTERRUPTS_LEAVE = 0,  /* interrupt remapping stays off */
	MOAT_VTD_INTERRUPTS_COMPATIBLE, /* on, and compatibility format passes; off without CFI */
	MOAT_VTD_INTERRUPTS_BLOCK,      /* on, and compatibility format is blocked */
	/** For moat_vtd_host_create() only: block if the kernel gets no interrupts from behind the
	 * unit, else compatible; leave if the unit cannot remap, or does not take CFI. */
	MOAT_VTD_INTERRUPTS_DEFAULT,
};

#define MOAT_VTD_IRT_ORDER 10 /* 1024 entries */

/** Calls that tell what the driver promises for each entry, for a unit that detects broken promises
 * (drivers/softvtd's oracle). They are made under a lock, and must not call the unit. */
struct moat_vtd_intr_watch {
	/** Called before the entry is present; `receiver` as in struct moat_vtd_vector. */
	void (*given)(void *ctx, uint16_t index, moat_sid_t sid, const void *receiver);
	/** The entry is absent in the table; `cause` names the revocation. */
	void (*revoked)(void *ctx, uint16_t index, uint64_t cause);
	/** The unit has confirmed the revocation. */
	void (*released)(void *ctx, uint16_t index, uint64_t cause);
	void *ctx;
};

/** The destination of an entry's interrupts. */
struct moat_vtd_vector {
	uint8_t vector;       /* of the processor; with `post`: the bit in the descriptor */
	bool logical;         /* `destination` is a logical APIC ID */
	bool urgent;          /* with `post`: notify in spite of SN */
	uint32_t destination; /* APIC ID; 8 bits unless moat_vtd_interrupts_eim() */
	/* hpa of a posted-interrupt descriptor (64 bytes, aligned to 64); 0: none */
	uint64_t post;
	const void *receiver; /* for moat_vtd_intr_watch.given() alone; may be NULL */
};

/**
 * Get what the unit does with interrupts.
 *
 * @param unit the unit
 * @return what it does; never MOAT_VTD_INTERRUPTS_DEFAULT
 *
 * Thread-safe. Control path.
 */
enum moat_vtd_interrupts moat_vtd_interrupts(const struct moat_unit *unit);

/**
 * Whether the unit's interrupts have destinations of 32 bits (EIME).
 *
 * @param unit the unit
 * @return true: they have
 *
 * Thread-safe. Control path.
 */
bool moat_vtd_interrupts_eim(const struct moat_unit *unit);

/**
 * Whether domains that have PASIDs of one function are given interrupts of that function, which
 * each of these domains can raise (`share_interrupts`).
 *
 * @param unit the unit
 * @return true: they are
 *
 * Thread-safe. Control path.
 */
bool moat_vtd_interrupts_shared(const struct moat_unit *unit);

/**
 * Get the reasons why the unit does not block compatibility format, each with its remedy.
 *
 * @param unit the unit
 * @return the text, valid as long as the unit; "": it blocks, or no reason is known
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_interrupts_why(const struct moat_unit *unit);

/**
 * Get the name of a choice: "left alone", "compatible", "block".
 *
 * @param interrupts the choice
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_interrupts_name(enum moat_vtd_interrupts interrupts);

/**
 * Get a sentence, without a full stop, that says which interrupts a tenant's device can raise under
 * a choice.
 *
 * @param interrupts the choice
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_interrupts_text(enum moat_vtd_interrupts interrupts);

/**
 * Give an entry to a source-id, and to no other.
 *
 * @param unit the unit
 * @param domain the domain that the source-id, or a PASID of it, is attached to: the entry is taken
 *   back when the last of these is detached; NULL: the caller must take the entry back
 * @param sid the source-id that may use the entry; behind a PCI bridge, so may others on its bus
 * @param to the destination of the interrupts
 * @param msi set on success: what the device must write
 * @return 0
 * @return -EOPNOTSUPP: the unit does not remap interrupts (`interrupts`), or posting was asked for
 *   and CAP.PI is clear
 * @return -EINVAL: a destination or descriptor address that an entry cannot hold
 * @return -ENOENT: `sid` is not attached to `domain`, or was detached meanwhile
 * @return -EPERM: `sid`, or a PASID of it, is attached to another domain, too, which could raise
 *   the interrupt, and `share_interrupts` is not set
 * @return -ENOSPC: no entry is free, or `sid` has too many aliases
 * @return -ETIMEDOUT, -EIO: the unit does not answer; the entry is given to no other function
 *   before the unit has confirmed that the entry is invalidated
 * @return the error of the scope's `admit`
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; may wait for the unit.
 */
int moat_vtd_interrupt_give(struct moat_unit *unit, const struct moat_domain *domain,
	moat_sid_t sid, const struct moat_vtd_vector *to, struct moat_interrupt *msi);

/**
 * Begin to take an entry back. Until moat_vtd_interrupt_revoked() returns 1, the entry may still
 * raise interrupts.
 *
 * @param unit the unit
 * @param index of the entry
 * @return the ticket's number (> 0)
 * @return -ENOENT: `index` is not given
 * @return -EAGAIN: the entry is absent, but there is no room in the queue now: call again
 * @return -ETIMEDOUT: the unit does not flush its write buffer (CAP.RWBF)
 * @return -EIO: the unit is dead
 *
 * Thread-safe. Control path.
 */
int64_t moat_vtd_interrupt_revoke(struct moat_unit *unit, uint16_t index);

/**
 * Whether the revocation is complete; the entry can then be given again. Polls the unit once.
 *
 * @param unit the unit
 * @param index of the entry
 * @return 1: yes, or the entry was free
 * @return 0: not yet
 * @return -EINVAL: the entry's invalidation has not been submitted, or there is no such entry
 * @return -EIO: the unit refused the invalidation: call moat_vtd_interrupt_revoke() again
 *
 * Thread-safe. Control path.
 */
int moat_vtd_interrupt_revoked(struct moat_unit *unit, uint16_t index);

/**
 * Take an entry back, and wait until it raises no interrupt any more.
 *
 * @param unit the unit
 * @param index of the entry, whatever domain it belongs to
 * @return 0
 * @return -ENOENT: it is not given
 * @return -ETIMEDOUT, -EIO: the unit does not answer, or refuses the invalidation; the entry stays
 *   out of use, and the call can be repeated
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_vtd_interrupt_take_back(struct moat_unit *unit, uint16_t index);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_INTR_H */
