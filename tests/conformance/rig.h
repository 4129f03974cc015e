/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef RIG_H
#define RIG_H

/**
 * @file
 * A unit, memory that it can address, and devices behind it that do one DMA at a time: all that the
 * conformance tests know of the unit they test. Two rigs implement this, the software unit in this
 * process (rig_soft.c) and QEMU's unit in the lab's guest (rig_qemu.c), so that a test which passes
 * on one says something about the other.
 */

#include "moat_pt.h"
#include "moat_vtd.h"

#define RIG_DEVICES 2
#define RIG_BUFFER  4096 /* bytes of memory that a device has of its own */

/** Where the unit says what the specification lets it choose, or is known to err. */
struct rig_traits {
	const char *name;
	const char *unit; /* "soft", "qemu" */
	uint8_t haw;      /* bits of host address that it decodes */
	/** Caches all it may for as long as it may, so that a change without its invalidation does
	 * not show. */
	bool remembers;
	/** A request refused for a permission that the IOTLB remembers is recorded as a fault, as
	 * the specification has it ("Non-Recoverable Faults" makes no difference by where the
	 * permission was found). QEMU refuses it without a word. */
	bool cached_refusal_faults;
	/** In scalable mode, too, faults may have the reasons of legacy mode: QEMU's root and
	 * context entries, and its second stage. */
	bool legacy_reasons;
};
extern struct rig_traits rig_traits; /* complete after rig_open() */

/** @param argument of the test program: which unit (the rig's own words); NULL: the default. QEMU
 * was told with --iommu; there it says what the registers do not: "39-bits..." is the host's
 * width, "scalable" that the driver is to run scalable mode, in the stage that the unit has */
void rig_open(const char *argument);
/** Fails the program when the unit has been misused, where it can tell. */
void rig_close(void);

/** What moat_vtd_create() needs to own the rig's unit; devices are not passed through. */
void rig_conf(struct moat_vtd_conf *conf);
/** Somebody brings the unit up and dies without taking it down. @return as moat_vtd_create() */
int rig_abandon(const struct moat_vtd_conf *conf);

/** 2 MiB, aligned, zeroed, at one HPA. Exits when there is none. */
void *rig_memory(uint64_t *hpa);
void rig_memory_free(void *memory);

/** The source-id of device 0 or 1. */
moat_sid_t rig_sid(unsigned int device);
/** The device reads `len` bytes at `iova` into its buffer. Whether it got them it cannot say. */
void rig_read(unsigned int device, uint64_t iova, uint64_t len);
/** The device writes `len` bytes of its buffer to `iova`. */
void rig_write(unsigned int device, uint64_t iova, uint64_t len);
/** The same from byte `from` of its buffer on. */
void rig_write_from(unsigned int device, uint64_t from, uint64_t iova, uint64_t len);

/** A vector that nothing else on the machine uses: how many of it have arrived, at all processors
 * or at the one with this APIC ID. A device interrupts by a write of four bytes to 0xfeexxxxx. */
#define RIG_VECTOR     0xf6
#define RIG_PROCESSORS 2
uint64_t rig_delivered(void);
uint64_t rig_delivered_at(uint32_t processor);
/** The device raises an interrupt by its own MSI capability, which has these for address and
 * data. */
void rig_msi(unsigned int device, uint64_t address, uint32_t data);

#endif /* RIG_H */
