/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DIFFERENTIAL_H
#define DIFFERENTIAL_H

#include "moat_vtd_regs.h"
#include "tables.h"
#include "units.h"

#define LEN_MAX 64 /* bytes of an access */

/** The state of a run. */
struct run {
	bool verbose;
	uint64_t seed; /* of the world; repeats the case */
};

/** An access, and its results. */
struct outcome {
	uint64_t iova;
	unsigned int len, device;
	uint16_t sid;
	bool write;
	int reason;   /* the software unit's answer; may be MOAT_SOFTVTD_NO_MEMORY */
	uint64_t hpa; /* where the access leads; 0: nowhere */
	bool reached; /* QEMU's device reached these bytes */
	bool cached;  /* QEMU's unit may have the page in its IOTLB */
	struct record soft, qemu;
};

/**
 * A few cases of a kind.
 * @param reasons counts, by fault reason
 * @param done how many cases there were
 * @return false: an unexplained difference, which is printed
 */
bool accesses_cases(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done);
bool descriptors_cases(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done);
bool registers_cases(const struct run *run, unsigned int number, uint64_t reasons[256],
	unsigned int *done);

/** Make a new world. */
void accesses_begin(void);
void accesses_print(void);
/** Prepare for the first world: both units lose their queues. */
void registers_begin(void);

/** @return why QEMU's answer may differ here if the software unit's is right; NULL: it may not.
 * Counts the uses of each explanation. */
const char *explained(const struct shape *shape, const struct outcome *o);
/** The same for a descriptor that only one of the two units takes. */
const char *explained_descriptor(const struct shape *shape, const struct descriptor *d,
	bool soft_refuses);
/** The same for a register that reads differently. @param queue where the queue was when it was
 * last switched on, and IQA.DW as it was last written */
const char *explained_register(uint32_t offset, uint64_t soft, uint64_t qemu, uint64_t queue);
void explained_print(void);

#endif /* DIFFERENTIAL_H */
