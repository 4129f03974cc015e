/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_BASE_H
#define MOAT_BASE_H

/**
 * @file
 * What every other folder needs: page sizes, permissions, a range of IOVAs, and how an error
 * reaches the user.
 *
 * An address is one of three, and the name of a variable says which:
 *  - `iova`: what a device puts on the bus, a DMA virtual address of one domain;
 *  - `hpa`: host physical address, what the unit's tables hold. The software unit's physical
 *    memory is the process's memory, so its HPAs are virtual addresses as numbers;
 *  - `va`: what the processor dereferences.
 *
 * Errors: a function returns 0 or a negative errno, and leaves a sentence for the user in a
 * thread-local text (moat_error_text()): what was wrong, with the value, and what to do.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>

/** An atomic object in a public header. In C++ it is a std::atomic, and argument-dependent look-up
 * finds the functions on it. */
#ifdef __cplusplus
#include <atomic>
#define MOAT_ATOMIC(type) std::atomic<type>
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
#else
#include <stdatomic.h>
#define MOAT_ATOMIC(type) _Atomic(type)
#endif

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define MOAT_PAGE_SHIFT 12u
#define MOAT_PAGE_SIZE  (UINT64_C(1) << MOAT_PAGE_SHIFT)
#define MOAT_PAGE_MASK  (MOAT_PAGE_SIZE - 1)
#define MOAT_2M_SHIFT   21u
#define MOAT_2M_SIZE    (UINT64_C(1) << MOAT_2M_SHIFT)
#define MOAT_1G_SHIFT   30u
#define MOAT_1G_SIZE    (UINT64_C(1) << MOAT_1G_SHIFT)

/** What a device may do with a page. The values are the second-stage entry's own bits
 * (VT-d specification, second-stage paging entries: bit 0 read, bit 1 write). */
enum moat_prot {
	MOAT_R = 1,
	MOAT_W = 2,
	MOAT_RW = 3,
};

/** A source-id: the requester's bus (15:8), device (7:3) and function (2:0). */
typedef uint16_t moat_sid_t;
#define MOAT_SID(bus, dev, fn) ((moat_sid_t)((bus) << 8 | (dev) << 3 | (fn)))
#define MOAT_SID_FMT           "%02x:%02x.%x"
#define MOAT_SID_ARGS(sid)     (sid) >> 8, ((sid) >> 3) & 0x1f, (sid)&7

/** No PASID: only a source-id identifies the request, attachment or fault. */
#define MOAT_PASID_NONE UINT32_MAX

/** `len` bytes from `iova` on, both multiples of MOAT_PAGE_SIZE. */
struct moat_range {
	uint64_t iova;
	uint64_t len;
};

/**
 * Set this thread's error text and return the error code, in one statement:
 * `return moat_error(-ERANGE, "iova 0x%" PRIx64 " is beyond ...; ...", iova);`
 *
 * An argument may be moat_error_text() itself, to put a sentence into a context:
 * `return moat_error(rc, "tenant '%s': %s", name, moat_error_text());`
 *
 * @param err a negative errno
 * @param fmt as printf's; a text longer than 511 bytes is cut
 * @return err
 *
 * Thread-safe (the text is thread-local). Control path.
 */
int moat_error(int err, const char *fmt, ...) __rte_format_printf(2, 3);

/**
 * The sentence of this thread's last error.
 *
 * @return the text, "" if there was no error yet, never NULL. The buffer is reused by this thread's
 *   next error: copy the text to keep it. A call that succeeds may change it, too.
 *
 * Thread-safe (the text is thread-local). Control path.
 */
const char *moat_error_text(void);

/**
 * The monotonic clock, for deadlines. Needs no EAL.
 *
 * @return microseconds since some moment in the past
 *
 * Thread-safe. Some 25 ns; control path and waiting loops.
 */
uint64_t moat_now_us(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_BASE_H */
