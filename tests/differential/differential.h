/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef DIFFERENTIAL_H
#define DIFFERENTIAL_H

#include "moat_vtd_regs.h"
#include "tables.h"

/** A fault recording register, decoded. */
struct record {
	bool there, read;
	uint8_t reason;
	uint16_t sid;
	uint64_t page;
};

/** An access, and what came of it. */
struct outcome {
	uint64_t iova;
	unsigned int len;
	uint16_t sid;
	bool write;
	int reason;   /* the software unit's answer; MOAT_SOFTVTD_NO_MEMORY too */
	uint64_t hpa; /* where it leads; 0: nowhere */
	bool reached; /* QEMU's device reached these bytes */
	struct record soft, qemu;
};

/** Why the two may differ here; NULL: they may not. Counts. */
const char *explained(const struct shape *shape, const struct outcome *o);
/** The same of a descriptor that only one of the two takes. */
const char *explained_descriptor(const struct shape *shape, struct vtd_entry d, bool soft_refuses);
/** The same of a register that reads differently. */
const char *explained_register(uint32_t offset, uint64_t soft, uint64_t qemu);
void explained_print(void);

#endif /* DIFFERENTIAL_H */
