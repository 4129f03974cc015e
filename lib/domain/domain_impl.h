/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DOMAIN_IMPL_H
#define MOAT_DOMAIN_IMPL_H

/* Declarations that the files of lib/domain share. */

#include <pthread.h>

#include <rte_pause.h>

#include "moat_domain.h"

#define DOMAIN_ATTACHMENTS 256
#define DOMAIN_UNITS       MOAT_DOMAIN_UNITS
#define DOMAIN_TAGS        (DOMAIN_UNITS + 64) /* 64: of PASIDs, device TLBs, children */

/* An attachment is in effect from the end of its attach to the end of its detach. */
enum domain_attachment_state {
	DOMAIN_ATTACHING, /* the unit is being told; the entry excludes other threads */
	DOMAIN_ATTACHED,
	DOMAIN_DETACHING,
};

struct domain_attachment {
	struct moat_attachment pub;
	enum domain_attachment_state state;
};

/* A unit that the domain has, or had, attachments on; the first is the domain's own. The operations
 * are copies of the unit's inval_*, so that a lane needs no further load to find them. */
struct domain_unit {
	struct moat_unit *unit;
	uint16_t did;
	__typeof__(((struct moat_unit_ops *)0)->inval_submit) submit;
	__typeof__(((struct moat_unit_ops *)0)->inval_done) done;
	__typeof__(((struct moat_unit_ops *)0)->inval_wait) wait;
	const struct moat_domain *domain; /* the domain that contains this struct */
	struct domain_unit *next;         /* in the unit's list, see domain_unit.c */
};

/* A burst reads three cache lines: two with `pub` and the first unit, and one with the counts and
 * the first tag. */
struct domain_impl {
	struct moat_domain pub;
	/* Lanes read these members without the lock: see domain_attach.c. */
	struct domain_unit units[DOMAIN_UNITS];
	_Atomic uint32_t nr_units;
	_Atomic uint32_t nr_tags;
	_Atomic uint32_t tag_version;
	_Atomic bool settles; /* a unit must be told of new entries, too (CAP.CM, CAP.RWBF) */
	_Atomic moat_tag_t tags[DOMAIN_TAGS]; /* 0: empty */

	pthread_mutex_t lock; /* control path: guards attachments, lanes and children; never held
			       * across a wait */
	uint64_t iova_base;
	uint64_t leaf_sizes;
	struct domain_attachment *attachments; /* DOMAIN_ATTACHMENTS, on the heap */
	uint32_t nr_attachments;
	uint32_t nr_lanes;
	struct moat_pt_pool *pool; /* the pool of the table's pages */

	/* nested translation, see domain_nest.c; all of a parent, except `sibling` */
	struct moat_range window;          /* IOVAs of the children's tables */
	uint64_t window_used;              /* bytes; under a lock of `child_tables` */
	_Atomic uint32_t window_version;   /* number of chunks in it ... */
	_Atomic uint32_t window_settled;   /* ... and of those that units were told of */
	struct moat_pt_pool *child_tables; /* pool of the children's tables */
	struct domain_impl *children;      /* under `lock` */
	uint32_t nr_children;
	struct domain_impl *sibling; /* of a child: the parent's next child */

	uint64_t lanes[MOAT_DOMAIN_LANES / 64]; /* bitmap: thread ids of `readers` in use */
} __rte_cache_aligned;

static inline struct domain_impl *domain_impl(const struct moat_domain *domain)
{
	return (struct domain_impl *)(uintptr_t)domain;
}

/* Do the domain's units walk the tables that lib/pt writes? If not, map and unmap are calls of the
 * unit. */
static inline bool domain_tables_ours(const struct moat_domain *domain)
{
	return likely(domain->unit->caps.tables == MOAT_TABLES_OURS);
}

/* domain_unit.c. Allocate a domain-id on `u->unit`, `u->did`, and add `u` to the unit's list.
 * @return 0; -ENOSPC */
int domain_did_alloc(struct domain_unit *u);
void domain_did_free(struct domain_unit *u);

/* domain_unit.c. If `rc`, of a wait for the unit, is -ETIMEDOUT: put the unit's name and the time
 * waited, moat_patience_us, before the error text. @return rc */
int domain_unit_silent(const struct moat_unit *unit, int rc);

/* domain_attach.c. Make the domain span one more unit: allocate a domain-id, add a tag, and reserve
 * the unit's IOVAs. The caller must hold the domain's lock, unless no other thread can see the
 * domain.
 * @return 0, or a negative errno: the domain does not span the unit. */
int domain_join(struct moat_domain *domain, struct moat_unit *unit);
void domain_leave_units(struct moat_domain *domain);

/* moat_domain.c. Invalidate a gather (NULL: everything) in the caches of all tags, and wait;
 * control path. @return 0, -ETIMEDOUT, -EIO. Adds the number of commands given to units to
 * `commands`. */
int domain_invalidate_sync(struct moat_domain *domain, const struct moat_gather *gather,
	uint64_t *commands);

/* moat_domain.c. Flush the write buffers of the units that have one. @return 0, -ETIMEDOUT */
int domain_flush_writes(struct moat_domain *domain);

/* Find the tags of unit number `unit`. @return how many */
static inline unsigned int domain_tags(const struct domain_impl *impl, unsigned int unit,
	moat_tag_t tags[DOMAIN_TAGS])
{
	/* acquire: pairs with the release in tag_store() */
	uint32_t n = atomic_load_explicit(&impl->nr_tags, memory_order_acquire);
	unsigned int found = 0;

	for (uint32_t i = 0; i < n; i++) {
		/* relaxed: one word, see domain_attach.c */
		moat_tag_t tag = atomic_load_explicit(&impl->tags[i], memory_order_relaxed);

		if (tag != 0 && MOAT_TAG_UNIT(tag) == unit)
			tags[found++] = tag;
	}
	return found;
}

#endif /* MOAT_DOMAIN_IMPL_H */
