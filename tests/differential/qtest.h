/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef QTEST_H
#define QTEST_H

/**
 * @file
 * A QEMU without a guest: a q35 machine with intel-iommu, edu devices and, where QEMU has it (11),
 * an iommu-testdev, which only writes, but at once. Its memory is also this process's, at the same
 * addresses, so that both units walk the very same tables.
 *
 * QEMU's qtest protocol is a line for each access, and a way there and back takes as long as five
 * lines. So lines are gathered and sent together; what they read is there after qtest_run(). Errors
 * of QEMU or of the pipe end the program with a message.
 */

#include <stdbool.h>
#include <stdint.h>

#define QTEST_RAM     UINT64_C(0x01000000) /* of the memory, what is mapped here: from ... */
#define QTEST_END     UINT64_C(0x04000000) /* ... to */
#define QTEST_UNIT    UINT64_C(0xfed90000)
#define QTEST_EDUS    2
#define QTEST_DEVICES 3 /* the last is the iommu-testdev */

/** How many of the devices there are. After qtest_start(). */
extern unsigned int qtest_devices;

/** @param iommu further properties of intel-iommu, ",aw-bits=39" for one */
void qtest_start(const char *qemu, const char *iommu);
void qtest_end(void);

/** Is a DMA, too, gathered? Else each of an edu's is waited for. After qtest_start(). */
bool qtest_gathers_dma(void);

/* Gathered until qtest_run(), in the order of the calls. */
/** @return what qtest_answer() is asked with */
unsigned int qtest_read(uint64_t address, unsigned int bytes);
/** Two words of 8 bytes. @return the first's; the second's is one more */
unsigned int qtest_read_two(uint64_t address);
void qtest_write(uint64_t address, unsigned int bytes, uint64_t value);
/** DMA of device `i`: `len` bytes between `iova` and the device's buffer. The iommu-testdev only
 * writes. */
void qtest_dma(unsigned int i, uint64_t iova, unsigned int len, bool write);
/** Send what was gathered, and wait for the answers. */
void qtest_run(void);
/** The answer to a read, after qtest_run(). It is kept until some hundred reads later. */
uint64_t qtest_answer(unsigned int read);

/** Source-id of device `i`. */
static inline uint16_t qtest_sid(unsigned int i)
{
	return (4 + i) << 3;
}

#endif /* QTEST_H */
