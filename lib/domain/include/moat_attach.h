/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_ATTACH_H
#define MOAT_ATTACH_H

/**
 * @file
 * Attachments: which requesters use a domain, behind which unit, and what an unmap must therefore
 * invalidate.
 *
 * An attachment is a requester (a source-id, or a source-id and a PASID) on one unit. A domain has
 * a domain-id of its own on each unit that it has attachments on, and the units walk the same
 * table. From the attachments follow the cache tags (moat_tag.h), each once: one for each domain-id
 * (in first stage, for each of its PASIDs), and one for each attachment with a device TLB. A lane
 * reads the tags when it submits a batch, and a ticket is not done before the invalidations for all
 * tags are complete.
 *
 * Attaching and detaching are safe from any thread and hold no lock while the unit works. An
 * attachment is in effect from the end of moat_domain_attach() to the end of moat_domain_detach().
 * Its tags are stored before the unit is told of the attachment; those of PASIDs and device TLBs
 * are removed after the unit has dropped it.
 */

#include "moat_unit.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct moat_attachment {
	struct moat_unit *unit;
	moat_sid_t sid;
	uint16_t did;   /* the domain's domain-id on that unit */
	uint32_t pasid; /* or MOAT_PASID_NONE */
	struct moat_device_tlb device_tlb;
};

/**
 * Put a requester into the domain; on return the requester can use what is mapped.
 *
 * @param domain the domain
 * @param sid the requester, behind the domain's own unit
 * @return 0
 * @return -EINVAL: `domain` is NULL
 * @return -EBUSY: the requester is in a domain already, or belongs to the kernel; or another domain
 *   has interrupts of the function, which this domain could then raise
 * @return -ENOSPC: the domain can have no more attachments
 * @return -ETIMEDOUT, -EIO: the unit does not answer; the requester stays where it was
 * @return another error of the unit
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_domain_attach(struct moat_domain *domain, moat_sid_t sid);

/**
 * Take a requester out of the domain; on return the requester reaches nothing.
 *
 * @param domain the domain
 * @param sid what moat_domain_attach() has attached
 * @return 0
 * @return -EINVAL: `domain` is NULL
 * @return -ENOENT: the requester is not in this domain, or another thread is detaching it
 * @return -ETIMEDOUT, -EIO: the unit does not answer; the requester stays where it was
 * @return another error of the unit
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_domain_detach(struct moat_domain *domain, moat_sid_t sid);

/**
 * As moat_domain_attach(), for a requester behind any unit, and for one PASID of it.
 *
 * The first attachment on another unit than the domain's own makes the domain span that unit. Both
 * units must have MOAT_TABLES_OURS, the same format and the same snoop control. The other unit must
 * support the levels, leaf sizes and width of the domain's tables, and must have ECAP.C and CAP.ZLR
 * if the domain's own unit has them.
 *
 * @param domain the domain
 * @param unit NULL: the domain's own
 * @param sid the requester
 * @param pasid 1 to 2^20 - 1, within the unit's PASID bits, or MOAT_PASID_NONE; PASID 0 is that of
 *   requests without a PASID
 * @return as moat_domain_attach(), and
 * @return -EOPNOTSUPP: the unit translates no PASIDs, or cannot walk the domain's tables
 * @return -EINVAL: the PASID is 0, or has more bits than the unit supports
 * @return -ENOSPC: no domain-id is left on the unit, or the domain can span no more units
 * @return -EBUSY: some IOVAs that the unit reserves are in use
 *
 * moat_error_text() has the sentence. Thread-safe. Control path; waits for the unit.
 */
int moat_domain_attach_at(struct moat_domain *domain, struct moat_unit *unit, moat_sid_t sid,
	uint32_t pasid);

/**
 * As moat_domain_detach(), for what moat_domain_attach_at() has attached.
 *
 * @param domain the domain
 * @param unit NULL: the domain's own
 * @param sid the requester
 * @param pasid as it was attached
 * @return as moat_domain_detach()
 *
 * Thread-safe. Control path; waits for the unit.
 */
int moat_domain_detach_at(struct moat_domain *domain, struct moat_unit *unit, moat_sid_t sid,
	uint32_t pasid);

/**
 * List the attachments of the domain.
 *
 * @param domain the domain
 * @param at receives up to `n` of them
 * @param n room in `at`
 * @return how many there are, which may be more than `n`
 *
 * Thread safety: any thread. Control path.
 */
unsigned int moat_domain_attachments(struct moat_domain *domain, struct moat_attachment at[],
	unsigned int n);

/**
 * The domain's domain-id on a unit.
 *
 * @param domain the domain
 * @param unit the unit
 * @return the domain-id
 * @return 0: the domain has no attachment there and never had one
 *
 * Thread-safe. Data path.
 */
uint16_t moat_domain_did(const struct moat_domain *domain, const struct moat_unit *unit);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_ATTACH_H */
