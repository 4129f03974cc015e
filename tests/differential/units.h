/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef UNITS_H
#define UNITS_H

/**
 * @file
 * Both units with the same tables (tables.h), each with an invalidation queue of its own.
 *
 * The software unit does at once what it is told. Requests for QEMU's unit are gathered (qtest.h)
 * until qtest_run(), so the tables must not change between an access and that call.
 */

#include "moat_softvtd.h"
#include "tables.h"

/** A decoded fault recording register, and FSTS.PPF and PFO. */
struct record {
	bool there, read, pending, overflow;
	uint8_t reason;
	uint16_t sid;
	uint64_t page;
};

extern struct moat_softvtd *units_soft;
/** The capabilities of QEMU's unit, which the software unit gets, too. */
extern struct shape units_shape;

/** Start QEMU, and make a software unit with the capabilities of QEMU's. Translation is on
 * afterwards. */
void units_start(const char *qemu, const char *iommu);
void units_end(void);

/** Write a register of both units. */
void units_write(uint32_t offset, unsigned int bytes, uint64_t value);

/** A descriptor; of 128 bits if the queues have such. */
struct descriptor {
	uint64_t word[4];
};
/** Put a descriptor into both queues. */
void units_put_all(const struct descriptor *d);
/** The same; the upper half of a 256-bit descriptor is 0. */
void units_put(uint64_t lo, uint64_t hi);
/** Ring the doorbells, and wait until the software unit has processed what was put. */
void units_doorbell(void);
/** The same without a wait, because the last descriptor may be an invalid one. */
void units_doorbell_only(void);
/** Replace the last descriptor by a wait in both rings, and let the units go on. A unit that has
 * taken the descriptor has nothing to do. */
void units_mend_queue(void);
/** Invalidate all that may be cached. */
void units_flush(void);

/** Read what the software unit has recorded, and clear it. */
struct record units_soft_record(void);
/** A question to QEMU's unit. */
struct question {
	unsigned int fsts, record; /* as qtest_read() */
	bool expected;
};
/** Ask QEMU's unit for its fault record. @param expected a record should be there; it is then
 * cleared at once */
struct question units_ask_record(bool expected);
/** Decode the answer, after qtest_run(). A record that was not expected is cleared; the answers to
 * later questions are not valid then. */
struct record units_qemu_record(const struct question *question);
/** @return whether both are the same record */
bool units_same_record(const struct record *a, const struct record *b);

#endif /* UNITS_H */
