/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef QTEST_H
#define QTEST_H

/**
 * @file
 * A QEMU without a guest: a q35 machine with intel-iommu, edu devices and, if QEMU has it (11), an
 * iommu-testdev, which only writes, but does so at once. QEMU's memory is mapped in this process at
 * the same addresses, so that both units walk the same tables.
 *
 * QEMU's qtest protocol has a line for each access, and a round trip takes as long as five lines.
 * So lines are gathered and sent together; the values that they read are available after
 * qtest_run(). Errors of QEMU or of the pipe end the program with a message.
 */

#include <stdbool.h>
#include <stdint.h>

#define QTEST_RAM     UINT64_C(0x01000000) /* QEMU memory that is mapped here, too: from ... */
#define QTEST_END     UINT64_C(0x04000000) /* ... to */
#define QTEST_UNIT    UINT64_C(0xfed90000)
#define QTEST_EDUS    2
#define QTEST_DEVICES 3 /* the last is the iommu-testdev */

/** The number of devices. Valid after qtest_start(). */
extern unsigned int qtest_devices;

/** @param iommu further properties of intel-iommu, such as ",aw-bits=39" */
void qtest_start(const char *qemu, const char *iommu);
void qtest_end(void);

/** Are DMAs gathered, too? If not, each DMA of an edu is waited for. Valid after qtest_start(). */
bool qtest_gathers_dma(void);

/* Gathered until qtest_run(), and done in the order of the calls. */
/** @return the argument for qtest_answer() */
unsigned int qtest_read(uint64_t address, unsigned int bytes);
/** Read two words of 8 bytes. @return the first word's argument for qtest_answer(); the second's is
 * one more */
unsigned int qtest_read_two(uint64_t address);
void qtest_write(uint64_t address, unsigned int bytes, uint64_t value);
/** Do a DMA of device `i`: `len` bytes between `iova` and the device's buffer. The iommu-testdev
 * only writes. */
void qtest_dma(unsigned int i, uint64_t iova, unsigned int len, bool write);
/** Send the gathered lines, and wait for the answers. */
void qtest_run(void);
/** @return the answer to a read, after qtest_run(). The last 1024 are kept. */
uint64_t qtest_answer(unsigned int read);

/** @return the source-id of device `i` */
static inline uint16_t qtest_sid(unsigned int i)
{
	return (4 + i) << 3;
}

#endif /* QTEST_H */
