/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MACHINE_H
#define MACHINE_H

/**
 * @file
 * What tests in the lab's guest use of the machine, found without the code under test: the unit's
 * registers, memory with a known physical address, PCI functions, and a device that does one DMA at
 * a time (QEMU's "edu").
 */

#include "moat_pt.h"
#include "moat_vtd_window.h"

/**
 * Map the registers of the first DRHD in the DMAR table through /dev/mem (kernel command line:
 * iomem=relaxed). Exits with a message if there is none.
 */
void machine_window(struct moat_vtd_window *window);

/** Allocate zeroed hugepages of 2 MiB, which do not move; hpa is from /proc/self/pagemap (root). */
extern const struct moat_pt_mem machine_mem;

/** For struct moat_vtd_conf.hpa. [va, va + len) must be within one 2 MiB page of machine_mem, else
 * -EFAULT. */
int machine_hpa(void *ctx, const void *va, uint64_t len, uint64_t *hpa);

/** @return the source-id in "0000:01:10.2", or in the environment variable in which the lab put
 * it */
moat_sid_t machine_sid(const char *bdf);
const char *machine_bdf(const char *variable);

/** Get all PCI functions except those in `without`. @return how many; exits if there are more than
 * `max` */
unsigned int machine_functions(moat_sid_t sids[], unsigned int max, const moat_sid_t without[],
	unsigned int nr_without);

/** The vector with which a processor of the kernel interrupts itself for later work (IWI), and how
 * many of these a processor has had. The kernel counts them, and few but the test's occur.
 * Processors have APIC IDs from 0 on. (0xff, the spurious interrupt, is counted, too, but never
 * acknowledged.) */
#define MACHINE_VECTOR 0xf6
uint64_t machine_irq_work(unsigned int processor);

/** QEMU's "edu" device: 4 KiB of memory of its own, and a DMA engine that takes 100 ms for each
 * DMA. */
struct edu {
	volatile char *bar;
	const char *bdf;
	moat_sid_t sid;
};

#define EDU_BUFFER 4096

/** Map the device's registers and make it bus master. Exits with a message if that fails. */
void edu_open(struct edu *edu, const char *variable);
/** @return whether the device may start DMA */
bool edu_is_master(const struct edu *edu);
/** The device reads `len` bytes at `iova` into its memory. The device does not report whether it
 * got them. */
void edu_read(const struct edu *edu, uint64_t iova, uint64_t len);
/** The device writes `len` bytes of its memory to `iova`. */
void edu_write(const struct edu *edu, uint64_t iova, uint64_t len);
/** The same, from byte `from` of its memory on. */
void edu_write_from(const struct edu *edu, uint64_t from, uint64_t iova, uint64_t len);
/** The device raises an interrupt by its MSI capability, programmed with this address and data.
 * Unlike a DMA write by the device, the request has the device's source-id. */
void edu_msi(const struct edu *edu, uint64_t address, uint32_t data);

#endif /* MACHINE_H */
