/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_INTR_H
#define MOAT_VTD_INTR_H

/**
 * @file
 * Interrupt remapping by the VT-d driver: whose interrupts a unit lets through.
 *
 * A device interrupts by writing four bytes to 0xFEEx_xxxx, which no DMA table stops. A unit that
 * remaps interrupts looks up what such a write asks for in a table of entries (IRTE), each of which
 * belongs to one source-id. An entry that was not given to a device is closed to it.
 *
 * Requests in the older *compatibility format* carry vector and processor themselves, and a unit
 * lets them through for all of its devices or for none. Devices of the kernel use that format, so:
 *  - *block*: none. Right where only tenants' devices are behind the unit. The driver makes sure
 *    that the unit takes the command (CFI) before it is trusted;
 *  - *compatible*: all. The kernel's devices work on, and **a tenant's device can raise any
 *    interrupt of the host**.
 *
 * An entry is given with moat_vtd_interrupt_give(), which says what the device must write. It
 * belongs to a function in a domain, and goes with the function's last attachment to that domain.
 * Otherwise it is taken back in two steps, as memory is: moat_vtd_interrupt_revoke() makes the
 * entry absent and queues an invalidation of the unit's interrupt-entry cache, and when
 * moat_vtd_interrupt_revoked() returns 1, no interrupt comes by that entry any more and its index
 * may be given to another.
 *
 * An interrupt carries no PASID, and the unit verifies its source-id alone. So domains that have
 * PASIDs of one function could raise each other's interrupts: such a function is given none, and
 * one that a domain has interrupts of enters no second domain. With `share_interrupts` (struct
 * moat_vtd_conf) it does, and has entries of each.
 */

#include "moat_unit.h"
#include "moat_vtd_irte.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum moat_vtd_interrupts {
	MOAT_VTD_INTERRUPTS_LEAVE = 0,  /* interrupt remapping stays off */
	MOAT_VTD_INTERRUPTS_COMPATIBLE, /* on, and compatibility format passes */
	MOAT_VTD_INTERRUPTS_BLOCK,      /* on, and compatibility format is blocked */
	/** moat_vtd_host_create() alone: block where the kernel gets no interrupts from behind
	 * the unit, else compatible, else (the unit cannot remap) left alone. */
	MOAT_VTD_INTERRUPTS_DEFAULT,
};

#define MOAT_VTD_IRT_ORDER 10 /* 1024 entries */

/** Told what is promised of each entry, for a unit that can tell when a promise is broken. Called
 * under a lock: must not call the unit. */
struct moat_vtd_intr_watch {
	/** Before the entry is present; `receiver` as in struct moat_vtd_vector. */
	void (*given)(void *ctx, uint16_t index, moat_sid_t sid, const void *receiver);
	/** The entry is absent in the table; `cause` names the revocation. */
	void (*revoked)(void *ctx, uint16_t index, uint64_t cause);
	/** The unit has confirmed. */
	void (*released)(void *ctx, uint16_t index, uint64_t cause);
	void *ctx;
};

/** Where interrupts by an entry go. */
struct moat_vtd_vector {
	uint8_t vector;       /* of the processor; with `post`: the bit in the descriptor */
	bool logical;         /* `destination` is a logical one */
	bool urgent;          /* with `post`: notify in spite of SN */
	uint32_t destination; /* APIC ID; 8 bits unless moat_vtd_interrupts_eim() */
	/* hpa of a posted-interrupt descriptor (64 bytes, aligned to them); 0: none */
	uint64_t post;
	const void *receiver; /* for moat_vtd_intr_watch.given() alone; may be NULL */
};

/**
 * What the unit does with interrupts.
 *
 * @param unit the unit
 * @return never MOAT_VTD_INTERRUPTS_DEFAULT
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
 * Whether domains that have PASIDs of one function are given interrupts of it, which each of them
 * can raise (`share_interrupts`).
 *
 * @param unit the unit
 * @return true: they are
 *
 * Thread-safe. Control path.
 */
bool moat_vtd_interrupts_shared(const struct moat_unit *unit);

/**
 * Why it is not `block`: what stands in the way, one by one, each with what to do, in one text.
 *
 * @param unit the unit
 * @return the text, valid as long as the unit; "": it is, or nothing is known
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_interrupts_why(const struct moat_unit *unit);

/**
 * A choice in a word or two: "left alone", "compatible", "block".
 *
 * @param interrupts the choice
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_interrupts_name(enum moat_vtd_interrupts interrupts);

/**
 * What a tenant's device can do to the host's interrupts under a choice, as one plain sentence
 * without a full stop.
 *
 * @param interrupts the choice
 * @return a static text, never NULL
 *
 * Thread-safe. Control path.
 */
const char *moat_vtd_interrupts_text(enum moat_vtd_interrupts interrupts);

/**
 * Give an entry to a source-id, and to it alone.
 *
 * @param unit the unit
 * @param domain the domain that the source-id, or a PASID of it, is attached to: the entry ends
 *   when the last of them is detached; NULL: the entry ends only when it is taken back
 * @param sid whose requests may use it; behind a PCI bridge also those that share its bus
 * @param to where they go
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
 *   before the unit has confirmed that it forgot it
 * @return the error of the scope's `admit`
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; may wait for the unit.
 */
int moat_vtd_interrupt_give(struct moat_unit *unit, const struct moat_domain *domain,
	moat_sid_t sid, const struct moat_vtd_vector *to, struct moat_interrupt *msi);

/**
 * Begin to take an entry back. Until moat_vtd_interrupt_revoked() returns 1, interrupts may still
 * come by it.
 *
 * @param unit the unit
 * @param index of the entry
 * @return the ticket's number (> 0)
 * @return -ENOENT: `index` is not given
 * @return -EAGAIN: no room in the queue now, the entry is absent already: call again
 * @return -ETIMEDOUT: the unit does not flush its write buffer (CAP.RWBF)
 * @return -EIO: the unit is dead
 *
 * Thread-safe. Control path.
 */
int64_t moat_vtd_interrupt_revoke(struct moat_unit *unit, uint16_t index);

/**
 * Is the revocation complete? Once it is, the entry is free for others. Polls the unit once.
 *
 * @param unit the unit
 * @param index of the entry
 * @return 1: yes, or the entry was free
 * @return 0: not yet
 * @return -EINVAL: no revocation has begun, or there is no such entry
 * @return -EIO: the unit refused the invalidation: call moat_vtd_interrupt_revoke() again
 *
 * Thread-safe. Control path.
 */
int moat_vtd_interrupt_revoked(struct moat_unit *unit, uint16_t index);

/**
 * Both: take an entry back and wait until no interrupt comes by it.
 *
 * @param unit the unit
 * @param index of the entry, whatever domain it belongs to
 * @return 0
 * @return -ENOENT: it is not given
 * @return -ETIMEDOUT, -EIO: the unit does not answer, or refuses; the entry stays out of use, and
 *   the call can be repeated
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_vtd_interrupt_take_back(struct moat_unit *unit, uint16_t index);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_INTR_H */
