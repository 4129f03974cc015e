/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Attachments, the units that a domain spans, and its cache tags: see moat_attach.h.
 *
 * Lanes read units and tags without a lock, while attach and detach change these under the domain's
 * lock:
 *  - A unit's slot is written before `nr_units` counts it, and does not change until the domain
 *    ends.
 *  - A tag is one word. A slot of `tags` holds a tag or 0. A lane that loads an old value
 *    invalidates too much, or it misses a device whose attach has not ended, which T1 and T2
 *    prevent.
 *
 * A device may cache an entry once the unit is told of the device, and a lane that clears the entry
 * then must invalidate the device's tag, too. T1: attach stores the tag, increments `tag_version`,
 * and only then tells the unit of the device. T2: the lane clears its entries, submits (a full
 * barrier), and loads `tag_version` again. Either T2 sees that the version has changed since it
 * read the tags, and submits again; or its load comes before the change, and so the entries were
 * cleared before the unit was told of the device.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "domain_impl.h"

/* --------------------------------------------------------------------------------- tags */

/* `lock` is held. @return 0; -ENOSPC */
static int tag_store(struct domain_impl *impl, moat_tag_t tag)
{
	uint32_t n = atomic_load_explicit(&impl->nr_tags, memory_order_relaxed), at = 0;

	while (at < n && atomic_load_explicit(&impl->tags[at], memory_order_relaxed) != 0)
		at++;
	if (at == DOMAIN_TAGS)
		return moat_error(-ENOSPC,
			"domain '%s' already has %u tags (units, PASIDs, device TLBs, "
			"nested domains), its maximum",
			impl->pub.name, DOMAIN_TAGS);
	/* T1, see above. release: a lane that sees the new `nr_tags` sees the tag. */
	atomic_store_explicit(&impl->tags[at], tag, memory_order_relaxed);
	if (at == n)
		atomic_store_explicit(&impl->nr_tags, n + 1, memory_order_release);
	atomic_fetch_add(&impl->tag_version, 1);
	return 0;
}

/* Store a tag, unless it is there already. */
static int tag_add(struct domain_impl *impl, moat_tag_t tag)
{
	uint32_t n = atomic_load_explicit(&impl->nr_tags, memory_order_relaxed);

	for (uint32_t i = 0; i < n; i++)
		if (atomic_load_explicit(&impl->tags[i], memory_order_relaxed) == tag)
			return 0;
	return tag_store(impl, tag);
}

/* `lock` is held, and the unit has dropped the device. A lane that still sees the tag invalidates
 * too much. If the tag is stored twice, one stays: two children of a parent may store the same tag,
 * until the unit refuses one of their attachments. */
static void tag_remove(struct domain_impl *impl, moat_tag_t tag)
{
	uint32_t n = atomic_load_explicit(&impl->nr_tags, memory_order_relaxed);

	for (uint32_t i = 0; i < n; i++) {
		if (atomic_load_explicit(&impl->tags[i], memory_order_relaxed) != tag)
			continue;
		atomic_store_explicit(&impl->tags[i], 0, memory_order_relaxed);
		break;
	}
	/* relaxed: a lane that sees the smaller number misses only empty slots */
	while (n > 0 && atomic_load_explicit(&impl->tags[n - 1], memory_order_relaxed) == 0)
		n--;
	atomic_store_explicit(&impl->nr_tags, n, memory_order_relaxed);
}

/* -------------------------------------------------------------------------------- units */

static struct domain_unit *find_unit(struct domain_impl *impl, const struct moat_unit *unit)
{
	/* acquire: pairs with the release in domain_join(), so that the slot is complete */
	uint32_t n = atomic_load_explicit(&impl->nr_units, memory_order_acquire);

	for (uint32_t i = 0; i < n; i++)
		if (impl->units[i].unit == unit)
			return &impl->units[i];
	return NULL;
}

uint16_t moat_domain_did(const struct moat_domain *domain, const struct moat_unit *unit)
{
	const struct domain_unit *u;

	if (likely(unit == domain->unit))
		return domain->did;
	u = find_unit(domain_impl(domain), unit);
	return u != NULL ? u->did : 0;
}

/* @return why the unit cannot walk the domain's tables; NULL: it can */
static const char *cannot_walk(const struct moat_domain *domain, const struct moat_unit *unit)
{
	const struct moat_unit_caps *own = &domain->unit->caps, *caps = &unit->caps;
	bool child = domain->nesting == MOAT_NEST_CHILD;
	uint8_t sagaw = child ? caps->nested.sagaw : caps->sagaw;
	uint8_t mgaw = child ? caps->nested.mgaw : caps->mgaw;
	uint64_t leaf_sizes = child ? caps->nested.leaf_sizes : caps->leaf_sizes;

	if (own->tables != MOAT_TABLES_OURS || caps->tables != MOAT_TABLES_OURS)
		return "one of them does not walk tables that moat writes";
	if (own->format != caps->format)
		return "one of them walks first-stage tables and the other second-stage ones";
	if (child && sagaw == 0)
		return "it does not nest";
	if (!(sagaw & (1u << (domain->pt->levels - 2))))
		return "it does not walk tables of that many levels (CAP.SAGAW, CAP.FS5LP)";
	if (mgaw < domain->width)
		return "its addresses are narrower (CAP.MGAW)";
	if (domain_impl(domain)->leaf_sizes & ~leaf_sizes)
		return "it lacks some of the domain's leaf sizes (CAP.SSLPS, CAP.FS1GP); "
		       "create the domain without them";
	if (own->snoop_control != caps->snoop_control)
		return "only one of them has snoop control (ECAP.SC)";
	if (!own->no_zlr && caps->no_zlr)
		return "on it zero-length reads of write-only pages fault (CAP.ZLR); "
		       "create the domain on it";
	if (domain->pt->coherent && !caps->coherent)
		return "it does not snoop table reads (ECAP.C); create the domain on it";
	return NULL;
}

/* Find the first part of [*first, end) that no unit of the domain has reserved. @return its length,
 * and `*first` is where it begins; 0: there is none */
static uint64_t unreserved_find(const struct domain_impl *impl, uint64_t *first, uint64_t end)
{
	bool moved;

	do {
		uint64_t next = end;

		moved = false;
		for (uint32_t u = 0; u < impl->nr_units; u++) {
			const struct moat_unit_caps *caps = &impl->units[u].unit->caps;

			for (unsigned int i = 0; i < caps->nr_reserved; i++) {
				const struct moat_range *r = &caps->reserved[i];

				if (r->iova > *first) {
					next = RTE_MIN(next, r->iova);
				} else if (*first - r->iova < r->len) {
					*first = r->iova + r->len;
					moved = true;
				}
			}
		}
		if (!moved)
			end = next;
	} while (moved);
	return *first < end ? end - *first : 0;
}

/* Find the next part, after `part`, of the IOVAs that the unit cannot translate and that no unit of
 * the domain has reserved. */
static bool part_next(const struct moat_domain *domain, const struct moat_unit_caps *caps,
	struct moat_range *part)
{
	const struct domain_impl *impl = domain_impl(domain);
	uint64_t from = RTE_MAX(part->iova + part->len, impl->iova_base);
	uint64_t limit = UINT64_C(1) << domain->width;

	for (unsigned int i = 0; i < caps->nr_reserved; i++) {
		const struct moat_range *r = &caps->reserved[i];
		uint64_t first = RTE_MAX(r->iova, from);
		uint64_t len = unreserved_find(impl, &first, RTE_MIN(r->iova + r->len, limit));

		if (len != 0) {
			*part = (struct moat_range){ first, len };
			return true;
		}
	}
	return false;
}

/* Undo reserve_iovas() for the parts below `end`, before the unit joins. */
static void unreserve_iovas(struct moat_domain *domain, const struct moat_unit_caps *caps,
	uint64_t end)
{
	struct moat_range part = { 0 };

	while (part_next(domain, caps, &part) && part.iova < end)
		moat_iova_free(domain->iova, NULL, part.iova, part.len);
}

/* Reserve the IOVAs that the unit cannot translate, so that they are never handed out. If one part
 * is in use, none stays reserved. */
static int reserve_iovas(struct moat_domain *domain, const struct moat_unit_caps *caps)
{
	struct moat_range part = { 0 };
	int rc = 0;

	while (rc == 0 && part_next(domain, caps, &part))
		rc = moat_iova_reserve(domain->iova, part.iova, part.len);
	if (rc != 0)
		unreserve_iovas(domain, caps, part.iova);
	return rc;
}

/* When a child joins a unit, let its parent join, too. The child's domain-id, under which the unit
 * caches what the parent maps, becomes a tag of the parent. */
static int parent_join(const struct moat_domain *child, struct moat_unit *unit, uint16_t did)
{
	struct domain_impl *parent = domain_impl(child->parent);
	const char *why;
	int rc = 0;

	pthread_mutex_lock(&parent->lock);
	if (find_unit(parent, unit) == NULL) {
		why = cannot_walk(&parent->pub, unit);
		rc = why == NULL
			? domain_join(&parent->pub, unit)
			: moat_error(-EOPNOTSUPP,
				  "domain '%s', the parent of '%s', cannot span unit %s: %s",
				  parent->pub.name, child->name, unit->name, why);
	}
	if (rc == 0)
		rc = tag_add(parent,
			moat_tag_iotlb((unsigned int)(find_unit(parent, unit) - parent->units), did,
				MOAT_PASID_NONE));
	pthread_mutex_unlock(&parent->lock);
	return rc;
}

/* Remove the parent's tag of a child's domain-id, under which the unit caches nothing any more. */
static void parent_leave(const struct moat_domain *child, const struct domain_unit *u)
{
	struct domain_impl *parent = domain_impl(child->parent);

	pthread_mutex_lock(&parent->lock);
	tag_remove(parent,
		moat_tag_iotlb((unsigned int)(find_unit(parent, u->unit) - parent->units), u->did,
			MOAT_PASID_NONE));
	pthread_mutex_unlock(&parent->lock);
}

/* Find the unit's operations that lanes call. */
static void unit_ops_find(struct domain_unit *u, struct moat_domain *domain, struct moat_unit *unit)
{
	u->unit = unit;
	u->domain = domain;
	u->submit = unit->ops->inval_submit;
	u->done = unit->ops->inval_done;
	u->wait = unit->ops->inval_wait;
	if (u->submit != NULL || unit->qi == NULL)
		return;
	u->submit = moat_unit_qi_submit;
	u->done = moat_unit_qi_done;
	u->wait = moat_unit_qi_wait;
}

int domain_join(struct moat_domain *domain, struct moat_unit *unit)
{
	struct domain_impl *impl = domain_impl(domain);
	uint32_t at = atomic_load_explicit(&impl->nr_units, memory_order_relaxed);
	struct domain_unit *u = &impl->units[at];
	bool ours = unit->caps.tables == MOAT_TABLES_OURS, reserved;
	int rc;

	if (at == DOMAIN_UNITS)
		return moat_error(-ENOSPC, "domain '%s' already spans %u units, its maximum",
			domain->name, DOMAIN_UNITS);
	unit_ops_find(u, domain, unit);
	rc = domain_did_alloc(u);
	if (rc != 0)
		return rc;
	rc = reserve_iovas(domain, &unit->caps);
	reserved = rc == 0;
	/* First stage is cached by PASID, too, so each attachment adds a tag. */
	if (rc == 0 && ours && domain->pt->format == MOAT_PT_SECOND_STAGE)
		rc = tag_add(impl, moat_tag_iotlb(at, u->did, MOAT_PASID_NONE));
	if (rc == 0 && domain->nesting == MOAT_NEST_CHILD)
		rc = parent_join(domain, unit, u->did);
	if (rc != 0) {
		if (reserved)
			unreserve_iovas(domain, &unit->caps, UINT64_MAX);
		domain_did_free(u);
		return rc;
	}
	if (unit->caps.caching_mode || unit->caps.rwbf)
		/* relaxed: stored before the unit is told of the domain */
		atomic_store_explicit(&impl->settles, true, memory_order_relaxed);
	/* release: the slot is complete */
	atomic_store_explicit(&impl->nr_units, at + 1, memory_order_release);
	return 0;
}

void domain_leave_units(struct moat_domain *domain)
{
	struct domain_impl *impl = domain_impl(domain);

	for (uint32_t i = 0; i < impl->nr_units; i++) {
		if (domain->nesting == MOAT_NEST_CHILD)
			parent_leave(domain, &impl->units[i]);
		domain_did_free(&impl->units[i]);
	}
}

/* --------------------------------------------------------------------------- attachments */

/* `lock` is held. @return NULL: the attachment is not in the list */
static struct domain_attachment *find_attachment(struct domain_impl *impl,
	const struct moat_unit *unit, moat_sid_t sid, uint32_t pasid)
{
	for (uint32_t i = 0; i < impl->nr_attachments; i++) {
		const struct moat_attachment *a = &impl->attachments[i].pub;

		if (a->sid == sid && a->unit == unit && a->pasid == pasid)
			return &impl->attachments[i];
	}
	return NULL;
}

/* The tag under which the unit caches the attachment's first stage; 0: the tables are second
 * stage. */
static moat_tag_t attachment_iotlb(struct domain_impl *impl, const struct moat_attachment *a)
{
	const struct moat_unit_caps *caps = &a->unit->caps;
	const struct domain_unit *u = find_unit(impl, a->unit);

	if (caps->tables != MOAT_TABLES_OURS || impl->pub.pt->format != MOAT_PT_FIRST_STAGE)
		return 0;
	return moat_tag_iotlb((unsigned int)(u - impl->units), u->did,
		a->pasid != MOAT_PASID_NONE ? a->pasid : caps->rid_pasid);
}

/* Count the functions that share an IOTLB tag, with the same PASID. `lock` is held. */
static unsigned int iotlb_users(struct domain_impl *impl, moat_tag_t tag)
{
	unsigned int users = 0;

	for (uint32_t i = 0; i < impl->nr_attachments; i++)
		users += attachment_iotlb(impl, &impl->attachments[i].pub) == tag;
	return users;
}

static moat_tag_t attachment_tag(struct domain_impl *impl, const struct moat_attachment *a)
{
	unsigned int unit = (unsigned int)(find_unit(impl, a->unit) - impl->units);

	return a->device_tlb.present ? moat_tag_device_tlb(unit, a->sid, a->pasid, &a->device_tlb)
				     : 0;
}

/* The device TLB of a child's attachment, as a tag of the parent: it is always invalidated
 * whole. */
static moat_tag_t parent_tag(const struct domain_impl *impl, const struct moat_attachment *a)
{
	struct domain_impl *parent = domain_impl(impl->pub.parent);

	return MOAT_TAG_WHOLE |
		moat_tag_device_tlb((unsigned int)(find_unit(parent, a->unit) - parent->units),
			a->sid, a->pasid, &a->device_tlb);
}

/* Add the device TLB of an attachment as a tag of the domain, and of its parent. */
static int device_tlb_add(struct domain_impl *impl, const struct moat_attachment *a)
{
	struct domain_impl *parent;
	int rc = tag_add(impl, attachment_tag(impl, a));

	if (rc != 0 || impl->pub.nesting != MOAT_NEST_CHILD)
		return rc;
	parent = domain_impl(impl->pub.parent);
	pthread_mutex_lock(&parent->lock);
	rc = tag_store(parent, parent_tag(impl, a));
	pthread_mutex_unlock(&parent->lock);
	if (rc != 0)
		tag_remove(impl, attachment_tag(impl, a));
	return rc;
}

static void device_tlb_remove(struct domain_impl *impl, const struct moat_attachment *a)
{
	struct domain_impl *parent;

	tag_remove(impl, attachment_tag(impl, a));
	if (impl->pub.nesting != MOAT_NEST_CHILD)
		return;
	parent = domain_impl(impl->pub.parent);
	pthread_mutex_lock(&parent->lock);
	tag_remove(parent, parent_tag(impl, a));
	pthread_mutex_unlock(&parent->lock);
}

/* Name a requester: "source 01:00.0", or with its PASID. */
static const char *name_of(moat_sid_t sid, uint32_t pasid, char name[40])
{
	int n = snprintf(name, 40, "source " MOAT_SID_FMT, MOAT_SID_ARGS(sid));

	if (pasid != MOAT_PASID_NONE)
		snprintf(name + n, 40 - (size_t)n, ", PASID %" PRIu32, pasid);
	return name;
}

/* Add the attachment and its tags, before the unit is told of it. `lock` is held. */
static int attachment_begin(struct domain_impl *impl, const struct moat_attachment *want)
{
	struct moat_attachment *a = &impl->attachments[impl->nr_attachments].pub;
	moat_tag_t iotlb;
	const char *why;
	char name[40];
	int rc = 0;

	if (find_attachment(impl, want->unit, want->sid, want->pasid) != NULL)
		return moat_error(-EBUSY,
			"unit %s: %s is in domain '%s' already; it need not be attached again",
			want->unit->name, name_of(want->sid, want->pasid, name), impl->pub.name);
	if (impl->nr_attachments == DOMAIN_ATTACHMENTS)
		return moat_error(-ENOSPC, "domain '%s' already has %u sources, its maximum",
			impl->pub.name, DOMAIN_ATTACHMENTS);
	if (find_unit(impl, want->unit) == NULL) {
		why = cannot_walk(&impl->pub, want->unit);
		if (why != NULL)
			return moat_error(-EOPNOTSUPP,
				"domain '%s' of unit %s cannot span unit %s: %s", impl->pub.name,
				impl->pub.unit->name, want->unit->name, why);
		rc = domain_join(&impl->pub, want->unit);
		if (rc != 0)
			return rc;
	}
	*a = *want;
	a->did = find_unit(impl, want->unit)->did;
	iotlb = attachment_iotlb(impl, a);
	if (iotlb != 0)
		rc = tag_add(impl, iotlb);
	if (rc == 0 && a->device_tlb.present) {
		rc = device_tlb_add(impl, a);
		if (rc != 0 && iotlb != 0 && iotlb_users(impl, iotlb) == 0)
			tag_remove(impl, iotlb);
	}
	if (rc != 0)
		return rc;
	impl->attachments[impl->nr_attachments++].state = DOMAIN_ATTACHING;
	return 0;
}

/* Finish an attach or a detach. The unit was told without the lock, so the list may have been
 * compacted meanwhile, and the entry is looked up again. It exists, because its state keeps other
 * threads from removing it. */
static void attachment_end(struct domain_impl *impl, const struct moat_unit *unit, moat_sid_t sid,
	uint32_t pasid, bool stays)
{
	struct domain_attachment *a;

	pthread_mutex_lock(&impl->lock);
	a = find_attachment(impl, unit, sid, pasid);
	if (stays) {
		a->state = DOMAIN_ATTACHED;
	} else {
		moat_tag_t iotlb = attachment_iotlb(impl, &a->pub);

		if (iotlb != 0 && iotlb_users(impl, iotlb) == 1)
			tag_remove(impl, iotlb);
		if (a->pub.device_tlb.present)
			device_tlb_remove(impl, &a->pub);
		*a = impl->attachments[--impl->nr_attachments];
	}
	pthread_mutex_unlock(&impl->lock);
}

int moat_domain_attach_at(struct moat_domain *domain, struct moat_unit *unit, moat_sid_t sid,
	uint32_t pasid)
{
	struct domain_impl *impl = domain_impl(domain);
	struct moat_attachment want = { .unit = unit, .sid = sid, .pasid = pasid };
	const struct moat_unit_ops *ops;
	int rc;

	if (domain == NULL)
		return moat_error(-EINVAL, "moat_domain_attach(): the domain is NULL");
	if (unit == NULL)
		want.unit = domain->unit;
	ops = want.unit->ops;
	if (pasid != MOAT_PASID_NONE && (ops->attach_pasid == NULL || pasid >> 20 != 0))
		return moat_error(pasid >> 20 != 0 ? -EINVAL : -EOPNOTSUPP,
			pasid >> 20 != 0 ? "PASID 0x%" PRIx32 " is beyond 20 bits (unit %s)"
					 : "PASID %" PRIu32
					   ": unit %s translates by source-id only",
			pasid, want.unit->name);
	if (ops->device_tlb != NULL)
		ops->device_tlb(want.unit, sid, &want.device_tlb);
	pthread_mutex_lock(&impl->lock);
	rc = attachment_begin(impl, &want);
	pthread_mutex_unlock(&impl->lock);
	if (rc != 0)
		return rc;
	rc = pasid == MOAT_PASID_NONE ? ops->attach(want.unit, domain, sid)
				      : ops->attach_pasid(want.unit, domain, sid, pasid);
	attachment_end(impl, want.unit, sid, pasid, rc == 0);
	return rc;
}

int moat_domain_detach_at(struct moat_domain *domain, struct moat_unit *unit, moat_sid_t sid,
	uint32_t pasid)
{
	struct domain_impl *impl = domain_impl(domain);
	struct domain_attachment *a;
	struct moat_unit *from;
	char name[40];
	bool mine;
	int rc;

	if (domain == NULL)
		return moat_error(-EINVAL, "moat_domain_detach(): the domain is NULL");
	from = unit != NULL ? unit : domain->unit;
	pthread_mutex_lock(&impl->lock);
	a = find_attachment(impl, from, sid, pasid);
	mine = a != NULL && a->state == DOMAIN_ATTACHED;
	if (mine)
		a->state = DOMAIN_DETACHING;
	pthread_mutex_unlock(&impl->lock);
	if (!mine)
		return moat_error(-ENOENT, "%s is not in domain '%s'", name_of(sid, pasid, name),
			domain->name);
	rc = pasid == MOAT_PASID_NONE ? from->ops->detach(from, domain, sid)
				      : from->ops->detach_pasid(from, domain, sid, pasid);
	attachment_end(impl, from, sid, pasid, rc != 0);
	return rc;
}

int moat_domain_attach(struct moat_domain *domain, moat_sid_t sid)
{
	return moat_domain_attach_at(domain, NULL, sid, MOAT_PASID_NONE);
}

int moat_domain_detach(struct moat_domain *domain, moat_sid_t sid)
{
	return moat_domain_detach_at(domain, NULL, sid, MOAT_PASID_NONE);
}

unsigned int moat_domain_attachments(struct moat_domain *domain, struct moat_attachment at[],
	unsigned int n)
{
	struct domain_impl *impl = domain_impl(domain);
	unsigned int all = 0;

	pthread_mutex_lock(&impl->lock);
	for (uint32_t i = 0; i < impl->nr_attachments; i++) {
		if (impl->attachments[i].state == DOMAIN_ATTACHING)
			continue;
		if (all < n)
			at[all] = impl->attachments[i].pub;
		all++;
	}
	pthread_mutex_unlock(&impl->lock);
	return all;
}
