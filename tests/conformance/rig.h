/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef RIG_H
#define RIG_H

/**
 * @file
 * The interface of the conformance tests to the unit that they test: the unit, memory that it can
 * address, and devices behind it that do one DMA at a time. There are two implementations, the
 * software unit in this process (rig_soft.c) and QEMU's unit in the lab's guest (rig_qemu.c), so
 * that the same tests run on both.
 */

#include "moat_pt.h"
#include "moat_vtd.h"

#define RIG_DEVICES 2
#define RIG_BUFFER  4096 /* bytes of a device's own memory */

/** Properties that the specification leaves to the unit, and known errors of the unit. */
struct rig_traits {
	const char *name;
	const char *unit; /* "soft", "qemu" */
	uint8_t haw;      /* bits of host address that the unit decodes */
	/** The unit caches everything that it may, as long as it may: a change without its
	 * invalidation has no effect. */
	bool remembers;
	/** A request that a cached permission refuses is recorded as a fault, as the specification
	 * says ("Non-Recoverable Faults" does not depend on where the permission was found). QEMU
	 * refuses it without a record. */
	bool cached_refusal_faults;
	/** In scalable mode, faults may have legacy mode's reasons, as those of QEMU's root and
	 * context entries and second stage do. */
	bool legacy_reasons;
};
extern struct rig_traits rig_traits; /* complete after rig_open() */

/** @param argument selects the unit, in the rig's own words; NULL: the default. QEMU gets its unit
 * by --iommu. There the argument has what registers do not tell: "39-bits..." the host's width,
 * "scalable" that the driver uses scalable mode, in the stage that the unit has. */
void rig_open(const char *argument);
/** Close the rig. If the rig can detect misuse of the unit, and there was any, the program
 * fails. */
void rig_close(void);

/** Get what moat_vtd_create() needs to own the rig's unit; devices are not passed through. */
void rig_conf(struct moat_vtd_conf *conf);
/** Bring the unit up and leave it up, as an owner that was killed does. @return as
 * moat_vtd_create() */
int rig_abandon(const struct moat_vtd_conf *conf);

/** Allocate 2 MiB, aligned and zeroed, with contiguous HPAs. Exits if there are none. */
void *rig_memory(uint64_t *hpa);
void rig_memory_free(void *memory);

/** @return the source-id of device 0 or 1 */
moat_sid_t rig_sid(unsigned int device);
/** The device reads `len` bytes at `iova` into its buffer. The device does not report whether it
 * got them. */
void rig_read(unsigned int device, uint64_t iova, uint64_t len);
/** The device writes `len` bytes of its buffer to `iova`. */
void rig_write(unsigned int device, uint64_t iova, uint64_t len);
/** The same, from byte `from` of the buffer on. */
void rig_write_from(unsigned int device, uint64_t from, uint64_t iova, uint64_t len);

/** A vector that nothing else on the machine uses. The functions return how many such interrupts
 * arrived, at all processors or at the one with this APIC ID. A device raises an interrupt by a
 * write of four bytes to 0xfeexxxxx. */
#define RIG_VECTOR     0xf6
#define RIG_PROCESSORS 2
uint64_t rig_delivered(void);
uint64_t rig_delivered_at(uint32_t processor);
/** The device raises an interrupt by its MSI capability, programmed with this address and data. */
void rig_msi(unsigned int device, uint64_t address, uint32_t data);

#endif /* RIG_H */
