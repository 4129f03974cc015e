/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_INTERRUPT_H
#define MOAT_INTERRUPT_H

/**
 * @file
 * Interrupts of a tenant's devices.
 *
 * On a unit that blocks compatibility-format interrupts a device can raise only the interrupts that
 * it was given. Each is given to one requester of a tenant, as one entry of the unit's interrupt
 * remapping table. There are two kinds of interrupt:
 *  - one that calls a function, on units that can deliver interrupts to a process (software units);
 *  - one that sets a bit in a cache line that an lcore polls, on units that can post interrupts.
 *
 * struct moat_interrupt has the address and data that the device must write: put them into its MSI
 * or MSI-X registers. The interrupt ends with moat_tenant_interrupt_end(), or when the requester is
 * detached (if the tenant has several PASIDs of the requester: when the last PASID is detached).
 *
 * An interrupt carries no PASID, and a unit verifies the source-id alone. So tenants that share a
 * function by PASID could raise each other's interrupts. Therefore such tenants get no interrupts
 * of the function. While a tenant has interrupts of a function, attaching a PASID of the function
 * to another tenant, or moving a queue to another tenant, is refused (-EBUSY). A unit can be
 * configured to allow both (`share_interrupts`).
 */

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Give a requester an interrupt that calls a function.
 *
 * @param tenant the tenant
 * @param sid a source-id that is attached to the tenant (moat_tenant_attach())
 * @param fn called in the thread in which the interrupt arrives; must not wait, and must not call
 *   the tenant's or the unit's functions
 * @param ctx given to `fn`
 * @param interrupt set on success to what the device must write
 * @return 0
 * @return -EINVAL: a NULL
 * @return -ENOENT: `sid` is not attached to the tenant on the tenant's own unit
 * @return -EPERM: another tenant has a PASID of `sid`, and could raise the interrupt
 * @return -EOPNOTSUPP: the unit cannot give interrupts to a process, because the kernel owns the
 *   vectors
 * @return -ENOSPC: the unit's table is full
 * @return -ETIMEDOUT, -EIO: the unit does not answer
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; may wait for the unit.
 */
int moat_tenant_interrupt(struct moat_tenant *tenant, moat_sid_t sid, void (*fn)(void *ctx),
	void *ctx, struct moat_interrupt *interrupt);

/**
 * Give a requester an interrupt that sets a bit.
 *
 * @param tenant the tenant
 * @param sid as in moat_tenant_interrupt()
 * @param line initialised by moat_posted_init(); must stay valid until the interrupt has ended
 * @param vector the bit's number, 0 to 255
 * @param interrupt as in moat_tenant_interrupt()
 * @return as moat_tenant_interrupt(), and
 * @return -EOPNOTSUPP: the unit cannot post interrupts
 * @return -EFAULT: the line's physical address cannot be found (for a hardware unit the line must
 *   lie in hugepages)
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; may wait for the unit.
 */
int moat_tenant_interrupt_post(struct moat_tenant *tenant, moat_sid_t sid, struct moat_posted *line,
	uint8_t vector, struct moat_interrupt *interrupt);

/**
 * Take an interrupt back. On return the function is not called any more, the line is not written,
 * and a device that tries to raise the interrupt is refused.
 *
 * @param tenant the tenant that has the interrupt
 * @param interrupt as moat_tenant_interrupt() or moat_tenant_interrupt_post() set it
 * @return 0
 * @return -EINVAL: a NULL
 * @return -ENOENT: the tenant does not have this interrupt
 * @return -EOPNOTSUPP: the unit gives no interrupts
 * @return -ETIMEDOUT, -EIO: the unit does not answer
 *
 * Thread-safe; must not be called from the function of an interrupt. Control path; waits for the
 * unit.
 */
int moat_tenant_interrupt_end(struct moat_tenant *tenant, const struct moat_interrupt *interrupt);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_INTERRUPT_H */
