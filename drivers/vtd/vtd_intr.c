/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Interrupt remapping: the table, its entries, and their invalidations. moat_vtd_intr.h explains
 * the idea.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "vtd_impl.h"

_Static_assert(sizeof(struct moat_posted) == sizeof(struct vtd_pi_desc),
	"struct moat_posted must be the specification's descriptor");
/* NOLINTNEXTLINE(misc-redundant-expression): the assertion is that both are the same */
_Static_assert(MOAT_POSTED_SN == VTD_PI_SN, "MOAT_POSTED_SN must be the specification's SN");

enum { FREE = 0, GIVEN, LEAVING };

/* An entry's owner is a function in a domain. A function whose PASIDs are in several domains may
 * have entries in each of them. */
struct vtd_irte_slot {
	uint8_t state;
	moat_sid_t sid;                   /* the function that it was given to ... */
	const struct moat_domain *domain; /* ... in this domain; NULL: in no domain */
	int64_t seq;    /* LEAVING: number of the invalidation; 0: not submitted yet */
	uint64_t cause; /* number of the last revocation */
};

/* The entries of one owner in [first, end). */
struct owned {
	uint32_t first, end;
	const struct moat_domain *domain;
	moat_sid_t sid;
};

static struct vtd_entry *irte(const struct vtd *v, uint16_t index)
{
	return (struct vtd_entry *)v->intr.table.va + index;
}

static uint32_t entries(const struct vtd *v)
{
	return v->intr.mode == MOAT_VTD_INTERRUPTS_LEAVE ? 0 : 1u << MOAT_VTD_IRT_ORDER;
}

/* Is x2APIC mode used? In it the unit blocks compatibility format whatever CFI says. */
static bool eime(const struct vtd *v)
{
	return v->intr.mode == MOAT_VTD_INTERRUPTS_BLOCK && v->caps.eim;
}

/* -------------------------------------------------------------------- bring-up and take-down */

int vtd_intr_create(struct vtd *v)
{
	uint32_t n;
	int ret;

	v->intr.mode = v->conf.interrupts;
	if (v->conf.interrupts_why != NULL)
		snprintf(v->intr.why, sizeof(v->intr.why), "%s", v->conf.interrupts_why);
	if (v->intr.mode == MOAT_VTD_INTERRUPTS_LEAVE)
		return 0;
	if (!v->caps.ir)
		return moat_error(-EOPNOTSUPP,
			"unit %s cannot remap interrupts (ECAP.IR is clear), so it blocks none: a "
			"tenant's device can raise any interrupt of the host; to accept that, do "
			"not set interrupts",
			v->unit.name);
	n = entries(v);
	v->intr.slot = calloc(n, sizeof(*v->intr.slot));
	if (v->intr.slot == NULL)
		return moat_error(-ENOMEM, "unit %s: no memory for %" PRIu32 " interrupt entries",
			v->unit.name, n);
	ret = vtd_pages_take(v, n * sizeof(struct vtd_entry) / MOAT_PAGE_SIZE, &v->intr.table);
	if (ret == 0)
		vtd_flush_lines(v, irte(v, 0), n * sizeof(struct vtd_entry));
	return ret;
}

void vtd_intr_free(struct vtd *v)
{
	free(v->intr.slot);
}

/*
 * Test whether the unit takes CFI: if so, it shows the bit in GSTS, even while remapping is off and
 * nothing depends on it. QEMU's unit does not take CFI and lets compatibility format pass whatever
 * the command says, so such a unit cannot be relied on to block. @return 0: it takes CFI, which is
 * now as it was found; 1: it does not; -ETIMEDOUT
 */
static int cfi_prove(struct vtd *v)
{
	uint32_t gsts = vtd_read32(&v->w, VTD_GSTS), keep = gsts & VTD_GSTS_KEEP;

	if (gsts & VTD_GSTS_CFIS)
		return 0;
	vtd_write32(&v->w, VTD_GCMD, keep | VTD_GCMD_CFI);
	if (vtd_gsts_becomes(v, VTD_GSTS_CFIS, true, RTE_MIN(v->conf.deadline_ms, 50u)))
		return vtd_command(v, VTD_GCMD_CFI, false,
			"compatibility-format interrupts off (CFI)");
	vtd_write32(&v->w, VTD_GCMD, keep);
	return 1;
}

static const char untrusted[] =
	"the unit does not take CFI (GSTS.CFIS stays clear, as in QEMU), so it is unknown whether "
	"it blocks compatibility format";

/* Handle a unit that does not take CFI. @return 0: interrupts are left alone; -EOPNOTSUPP */
static int cfi_missing(struct vtd *v)
{
	if (v->intr.mode == MOAT_VTD_INTERRUPTS_BLOCK && !v->conf.interrupts_optional)
		return moat_error(-EOPNOTSUPP, "unit %s: interrupts = block: %s", v->unit.name,
			untrusted);
	v->intr.mode = MOAT_VTD_INTERRUPTS_LEAVE;
	snprintf(v->intr.why, sizeof(v->intr.why), "%s", untrusted);
	return 0;
}

/*
 * "Enabling Interrupt Remapping": set the table, invalidate the whole interrupt-entry cache, pass
 * or block compatibility format, and only then enable remapping, so that no request uses entries of
 * an earlier owner.
 */
int vtd_intr_on(struct vtd *v)
{
	const struct moat_qi_desc all = moat_qi_int_entry(true, 0, 0);
	bool compatible = v->intr.mode == MOAT_VTD_INTERRUPTS_COMPATIBLE;
	int ret;

	if (v->intr.mode == MOAT_VTD_INTERRUPTS_LEAVE)
		return 0;
	ret = cfi_prove(v);
	if (ret != 0)
		return ret < 0 ? ret : cfi_missing(v);
	vtd_write64(&v->w, VTD_IRTA,
		v->intr.table.hpa | (eime(v) ? VTD_IRTA_EIME : 0) | (MOAT_VTD_IRT_ORDER - 1));
	ret = vtd_command(v, VTD_GCMD_SIRTP, true, "setting the interrupt table (SIRTP)");
	if (ret == 0)
		ret = vtd_queue_sync(v, &all, 1);
	if (ret == 0 && !!(vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_CFIS) != compatible)
		ret = vtd_command(v, VTD_GCMD_CFI, compatible,
			"compatibility-format interrupts (CFI)");
	if (ret == 0)
		ret = vtd_command(v, VTD_GCMD_IRE, true, "interrupt remapping on (IRE)");
	return ret;
}

void vtd_intr_restore(struct vtd *v)
{
	bool found = v->found.gsts & VTD_GSTS_CFIS;

	if (v->intr.mode == MOAT_VTD_INTERRUPTS_LEAVE)
		return;
	if (!!(vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_CFIS) != found)
		vtd_command(v, VTD_GCMD_CFI, found, "compatibility-format interrupts (CFI)");
	vtd_write64(&v->w, VTD_IRTA, v->found.irta);
}

/* A table that a moat process left has 1024 entries and lies in the same 2 MiB as the root table;
 * the kernel's table has 65,536 entries. */
bool vtd_intr_is_moats(const struct vtd *v)
{
	return (v->found.irta & VTD_IRTA_S) == MOAT_VTD_IRT_ORDER - 1 &&
		(v->found.irta ^ v->found.rtaddr) < MOAT_2M_SIZE;
}

/* ------------------------------------------------------------------------------------ entries */

static int destination_check(const struct vtd *v, const struct moat_vtd_vector *to)
{
	if (v->intr.mode == MOAT_VTD_INTERRUPTS_LEAVE)
		return moat_error(-EOPNOTSUPP,
			"unit %s does not remap interrupts%s: it has no entry to give",
			v->unit.name,
			v->caps.ir ? "; set interrupts = block or compatible"
				   : " (ECAP.IR is clear)");
	if (to->post != 0 && !v->caps.pi)
		return moat_error(-EOPNOTSUPP, "unit %s cannot post interrupts (CAP.PI is clear)",
			v->unit.name);
	if (to->post % sizeof(struct vtd_pi_desc) != 0)
		return moat_error(-EINVAL,
			"0x%" PRIx64
			" is not the address of a posted-interrupt descriptor: it must be a "
			"multiple of %zu",
			to->post, sizeof(struct vtd_pi_desc));
	if (to->post == 0 && !eime(v) && to->destination > UINT8_MAX)
		return moat_error(-EINVAL,
			"unit %s: destination 0x%" PRIx32 " has more than the 8 bits of xAPIC mode",
			v->unit.name, to->destination);
	return 0;
}

/* Set which source-ids may use an entry: the function's own, or, if its requests may carry several,
 * all source-ids from the lowest to the highest of their buses. @return 0, -ENOSPC */
static int verification(const struct vtd *v, moat_sid_t sid, uint64_t *hi)
{
	unsigned int first = sid >> 8, last = first;
	struct vtd_function f;
	int ret = vtd_aliases_ask(v, sid, &f);

	if (ret != 0)
		return ret;
	for (unsigned int i = 1; i < f.nr_alias; i++) {
		first = RTE_MIN(first, (unsigned int)f.alias[i] >> 8);
		last = RTE_MAX(last, (unsigned int)f.alias[i] >> 8);
	}
	if (f.nr_alias == 1)
		*hi = sid | (uint64_t)VTD_SVT_SID << VTD_IRTE_SVT_SHIFT;
	else
		*hi = first << 8 | last | (uint64_t)VTD_SVT_BUS << VTD_IRTE_SVT_SHIFT;
	return 0;
}

static struct vtd_entry irte_make(const struct vtd *v, const struct moat_vtd_vector *to,
	uint64_t hi)
{
	uint64_t lo = VTD_IRTE_P | (uint64_t)to->vector << VTD_IRTE_VECTOR_SHIFT;
	uint64_t dst = eime(v) ? to->destination : to->destination << 8;

	if (to->post != 0)
		return (struct vtd_entry){
			lo | VTD_IRTE_IM | (to->urgent ? VTD_IRTE_URG : 0) |
				(to->post << 32 & VTD_IRTE_PDAL),
			hi | (to->post & VTD_IRTE_PDAH),
		};
	lo |= to->logical ? VTD_IRTE_DM : 0;
	return (struct vtd_entry){ lo | dst << VTD_IRTE_DST_SHIFT, hi };
}

/* Under both locks: find a free index. @return the index; -ENOENT: the function is not in the
 * domain; -EPERM: it is in another domain, too; -ENOSPC */
static int index_find(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid)
{
	uint32_t n = entries(v);

	if (domain != NULL && !vtd_is_attached(v, domain, sid))
		return moat_error(-ENOENT,
			"unit %s: source " MOAT_SID_FMT
			" is not attached to domain '%s', so it gets no interrupt",
			v->unit.name, MOAT_SID_ARGS(sid), domain->name);
	if (vtd_intr_may_give(v, domain, sid) != 0)
		return -EPERM;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = v->intr.next++ % n;

		if (v->intr.slot[index].state == FREE)
			return (int)index;
	}
	return moat_error(-ENOSPC, "unit %s: all %" PRIu32 " interrupt entries are in use",
		v->unit.name, n);
}

/* Make a present entry visible: the unit may have cached its absence (CM), or the store may be in a
 * write buffer (RWBF). */
static int tell_present(struct vtd *v, uint16_t index)
{
	const struct moat_qi_desc one = moat_qi_int_entry(false, index, 0);
	int ret = vtd_flush_write_buffer(&v->unit);

	return ret != 0 || !v->caps.cm ? ret : vtd_queue_sync(v, &one, 1);
}

/* Make an entry present. The half with P is stored last (release: the unit may fetch the entry at
 * any moment). */
static void irte_set(struct vtd *v, uint16_t index, struct vtd_entry e)
{
	struct vtd_entry *at = irte(v, index);

	__atomic_store_n(&at->hi, e.hi, __ATOMIC_RELAXED);
	__atomic_store_n(&at->lo, e.lo, __ATOMIC_RELEASE);
	vtd_flush_lines(v, at, sizeof(*at));
}

static void irte_clear(struct vtd *v, uint16_t index)
{
	struct vtd_entry *at = irte(v, index);

	/* relaxed: only the invalidation must come after, and moat_qi_submit() releases */
	__atomic_store_n(&at->lo, 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, at, sizeof(*at));
}

/* Under v->intr.lock: make an entry absent; the caller must have it invalidated. @return 0,
 * -ENOENT */
static int revocation_begin(struct vtd *v, uint16_t index)
{
	const struct moat_vtd_intr_watch *watch = &v->conf.intr_watch;
	struct vtd_irte_slot *s = &v->intr.slot[index];

	if (s->state == LEAVING)
		return 0;
	if (s->state != GIVEN)
		return moat_error(-ENOENT, "unit %s: interrupt entry %u is not given", v->unit.name,
			index);
	irte_clear(v, index);
	s->state = LEAVING;
	s->seq = 0;
	s->cause = ++v->intr.revocations;
	if (watch->revoked != NULL)
		watch->revoked(watch->ctx, index, s->cause);
	return 0;
}

/* Give a free entry to a function and make it present, in one critical section: a detach finds all
 * entries that were given before, and none is given after it. @return the index; -ENOENT, -EPERM,
 * -ENOSPC */
static int entry_give(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid,
	const struct moat_vtd_vector *to, struct vtd_entry e, uint64_t *cause)
{
	const struct moat_vtd_intr_watch *watch = &v->conf.intr_watch;
	int index;

	pthread_mutex_lock(&v->lock);
	pthread_mutex_lock(&v->intr.lock);
	index = index_find(v, domain, sid);
	if (index >= 0) {
		struct vtd_irte_slot *s = &v->intr.slot[index];

		s->state = GIVEN;
		s->domain = domain;
		s->sid = sid;
		*cause = s->cause;
		if (watch->given != NULL)
			watch->given(watch->ctx, index, sid, to->receiver);
		irte_set(v, index, e);
	}
	pthread_mutex_unlock(&v->intr.lock);
	pthread_mutex_unlock(&v->lock);
	return index;
}

/* Finish giving an entry. If the unit did not confirm it (`told`), begin to revoke it: no other
 * function is given the entry before the unit has confirmed the revocation. @return `told`;
 * -ENOENT: the entry was revoked meanwhile */
static int entry_confirm(struct vtd *v, uint16_t index, uint64_t cause, int told)
{
	const struct vtd_irte_slot *s = &v->intr.slot[index];
	bool revoked;

	pthread_mutex_lock(&v->intr.lock);
	revoked = s->state != GIVEN || s->cause != cause;
	if (told != 0 && !revoked)
		revocation_begin(v, index);
	pthread_mutex_unlock(&v->intr.lock);
	if (told == 0 && revoked)
		return moat_error(-ENOENT,
			"unit %s: interrupt entry %u was revoked while it was given", v->unit.name,
			index);
	return told;
}

int moat_vtd_interrupt_give(struct moat_unit *unit, const struct moat_domain *domain,
	moat_sid_t sid, const struct moat_vtd_vector *to, struct moat_interrupt *msi)
{
	struct vtd *v = vtd_of(unit);
	int ret = destination_check(v, to), index;
	uint64_t hi = 0, cause = 0;

	if (ret == 0 && v->conf.scope.admit != NULL)
		ret = v->conf.scope.admit(v->conf.scope.ctx, sid);
	if (ret == 0)
		ret = verification(v, sid, &hi);
	if (ret != 0)
		return ret;
	index = entry_give(v, domain, sid, to, irte_make(v, to, hi), &cause);
	if (index < 0)
		return index;
	ret = entry_confirm(v, index, cause, tell_present(v, index));
	if (ret == 0)
		*msi = (struct moat_interrupt){
			.address = VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(index),
			.index = index,
		};
	return ret;
}

/* -------------------------------------------------------------------- taking entries back */

/* Under v->intr.lock, after a flush of the write buffer: submit the invalidation of an absent
 * entry. @return its number; -ENOENT, -EAGAIN, -EIO */
static int64_t revocation_submit(struct vtd *v, uint16_t index)
{
	const struct moat_qi_desc one = moat_qi_int_entry(false, index, 0);
	struct vtd_irte_slot *s = &v->intr.slot[index];
	int64_t seq = s->seq;

	if (s->state != LEAVING)
		return moat_error(-ENOENT, "unit %s: interrupt entry %u is not given", v->unit.name,
			index);
	if (seq == 0) {
		seq = moat_qi_submit(v->unit.qi, &one, 1);
		s->seq = RTE_MAX(seq, 0);
	}
	return seq;
}

int64_t moat_vtd_interrupt_revoke(struct moat_unit *unit, uint16_t index)
{
	struct vtd *v = vtd_of(unit);
	int64_t ret;

	if (index >= entries(v))
		return moat_error(-ENOENT, "unit %s has no interrupt entry %u", v->unit.name,
			index);
	pthread_mutex_lock(&v->intr.lock);
	ret = revocation_begin(v, index);
	pthread_mutex_unlock(&v->intr.lock);
	if (ret == 0)
		ret = vtd_flush_write_buffer(unit);
	if (ret != 0)
		return ret;
	pthread_mutex_lock(&v->intr.lock);
	ret = revocation_submit(v, index);
	pthread_mutex_unlock(&v->intr.lock);
	return ret;
}

/* Under v->intr.lock: free an entry if the unit has confirmed its invalidation. @return 1: free; 0:
 * not yet; -EINVAL, -EIO */
static int revoked(struct vtd *v, uint16_t index)
{
	const struct moat_vtd_intr_watch *watch = &v->conf.intr_watch;
	struct vtd_irte_slot *s = &v->intr.slot[index];

	if (s->state == FREE)
		return 1;
	if (s->state != LEAVING || s->seq == 0)
		return moat_error(-EINVAL, "unit %s: interrupt entry %u is not being revoked",
			v->unit.name, index);
	if (!moat_qi_done(v->unit.qi, s->seq))
		return 0;
	if (moat_qi_failed(v->unit.qi, s->seq)) {
		s->seq = 0;
		return moat_error(-EIO, "unit %s refused the invalidation of interrupt entry %u",
			v->unit.name, index);
	}
	if (watch->released != NULL)
		watch->released(watch->ctx, index, s->cause);
	s->state = FREE;
	return 1;
}

int moat_vtd_interrupt_revoked(struct moat_unit *unit, uint16_t index)
{
	struct vtd *v = vtd_of(unit);
	int ret;

	if (index >= entries(v))
		return moat_error(-EINVAL, "unit %s has no interrupt entry %u", v->unit.name,
			index);
	pthread_mutex_lock(&v->intr.lock);
	ret = revoked(v, index);
	pthread_mutex_unlock(&v->intr.lock);
	return ret;
}

static bool is_owned(const struct vtd_irte_slot *s, const struct owned *o)
{
	return s->domain == o->domain && s->sid == o->sid;
}

/* Under v->intr.lock: submit the invalidations that are not submitted yet, and free the entries
 * that the unit has confirmed. @param last set to the last submission; 0: there was no room @return
 * how many entries are left; -EIO: the unit is dead */
static int revocations_advance(struct vtd *v, const struct owned *o, int64_t *last)
{
	int left = 0;

	*last = 0;
	for (uint32_t i = o->first; i < o->end; i++) {
		const struct vtd_irte_slot *s = &v->intr.slot[i];

		/* An entry that was freed meanwhile may have been given to another function. */
		if (s->state != LEAVING || !is_owned(s, o))
			continue;
		if (s->seq == 0) {
			int64_t seq = revocation_submit(v, i);

			if (seq < 0 && seq != -EAGAIN)
				return (int)seq;
		}
		if (s->seq != 0 && revoked(v, i) == 1)
			continue;
		left++;
		*last = RTE_MAX(*last, s->seq);
	}
	return left;
}

/* Wait until the unit has confirmed the invalidation of all of the owner's absent entries. The
 * deadline begins anew whenever fewer entries are left. */
static int revocations_await(struct vtd *v, const struct owned *o)
{
	int ret = vtd_flush_write_buffer(&v->unit), left, before = INT_MAX;
	uint64_t end = 0;

	while (ret == 0) {
		int64_t last;

		pthread_mutex_lock(&v->intr.lock);
		left = revocations_advance(v, o, &last);
		pthread_mutex_unlock(&v->intr.lock);
		if (left == 0)
			return 0;
		if (left < 0)
			return vtd_queue_wait(v, left);
		if (left < before)
			end = vtd_now_ms() + v->conf.deadline_ms;
		before = left;
		if (last == 0)
			ret = vtd_queue_room(v, end);
		else if (vtd_now_ms() < end)
			ret = vtd_queue_wait(v, last);
		else
			ret = moat_error(-EIO,
				"unit %s refuses to invalidate %d interrupt entries "
				"of " MOAT_SID_FMT "; they stay out of use",
				v->unit.name, left, MOAT_SID_ARGS(o->sid));
	}
	return ret;
}

/* @param domain that must own the entry; NULL: any owner */
static int take_back(struct vtd *v, const struct moat_domain *domain, uint16_t index)
{
	struct owned o = { .first = index, .end = index + 1u };
	int ret = -ENOENT;

	pthread_mutex_lock(&v->intr.lock);
	if (index < entries(v) && (domain == NULL || v->intr.slot[index].domain == domain)) {
		o.domain = v->intr.slot[index].domain;
		o.sid = v->intr.slot[index].sid;
		ret = revocation_begin(v, index);
	}
	pthread_mutex_unlock(&v->intr.lock);
	if (ret == -ENOENT)
		return moat_error(ret, "unit %s: interrupt entry %u is not given", v->unit.name,
			index);
	return revocations_await(v, &o);
}

int moat_vtd_interrupt_take_back(struct moat_unit *unit, uint16_t index)
{
	return take_back(vtd_of(unit), NULL, index);
}

int vtd_intr_leave(struct vtd *v, const struct moat_domain *domain, moat_sid_t sid)
{
	struct owned o = { .end = entries(v), .domain = domain, .sid = sid };
	bool any = false;

	if (domain == NULL)
		return 0;
	pthread_mutex_lock(&v->lock);
	pthread_mutex_lock(&v->intr.lock);
	for (uint32_t i = vtd_is_attached(v, domain, sid) ? o.end : 0; i < o.end; i++)
		if (v->intr.slot[i].state != FREE && is_owned(&v->intr.slot[i], &o))
			any |= revocation_begin(v, i) == 0;
	pthread_mutex_unlock(&v->intr.lock);
	pthread_mutex_unlock(&v->lock);
	return any ? revocations_await(v, &o) : 0;
}

const struct moat_domain *vtd_intr_other(struct vtd *v, const struct moat_domain *domain,
	moat_sid_t sid)
{
	const struct moat_domain *other = NULL;

	pthread_mutex_lock(&v->intr.lock);
	for (uint32_t i = 0; i < entries(v) && other == NULL; i++) {
		const struct vtd_irte_slot *s = &v->intr.slot[i];

		if (s->state != FREE && s->sid == sid && s->domain != domain)
			other = s->domain;
	}
	pthread_mutex_unlock(&v->intr.lock);
	return other;
}

/* --------------------------------------------------------------------- for struct moat_unit_ops */

int vtd_interrupt_give(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	void (*fn)(void *ctx), void *ctx, struct moat_interrupt *interrupt)
{
	return moat_error(-EOPNOTSUPP,
		"unit %s: the kernel hands out the host's interrupt vectors, and this process has "
		"none for " MOAT_SID_FMT "; poll its queue, or have its interrupts posted",
		unit->name, MOAT_SID_ARGS(sid));
}

int vtd_interrupt_post(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid,
	struct moat_posted *line, uint8_t vector, struct moat_interrupt *interrupt)
{
	struct moat_vtd_vector to = { .vector = vector };
	int ret = unit->ops->hpa(unit, line, sizeof(*line), &to.post);

	return ret != 0 ? ret : moat_vtd_interrupt_give(unit, domain, sid, &to, interrupt);
}

int vtd_interrupt_take(struct moat_unit *unit, struct moat_domain *domain,
	const struct moat_interrupt *interrupt)
{
	return take_back(vtd_of(unit), domain, interrupt->index);
}

/* -------------------------------------------------------------------- what the unit does */

enum moat_vtd_interrupts moat_vtd_interrupts(const struct moat_unit *unit)
{
	return vtd_of(unit)->intr.mode;
}

const char *moat_vtd_interrupts_why(const struct moat_unit *unit)
{
	return vtd_of(unit)->intr.why;
}

bool moat_vtd_interrupts_eim(const struct moat_unit *unit)
{
	return eime(vtd_of(unit));
}

bool moat_vtd_interrupts_shared(const struct moat_unit *unit)
{
	return vtd_of(unit)->conf.share_interrupts;
}

const char *moat_vtd_interrupts_name(enum moat_vtd_interrupts interrupts)
{
	static const char *const names[] = { "left alone", "compatible", "block", "default" };

	return (unsigned int)interrupts < RTE_DIM(names) ? names[interrupts] : "unknown";
}

const char *moat_vtd_interrupts_text(enum moat_vtd_interrupts interrupts)
{
	if (interrupts == MOAT_VTD_INTERRUPTS_BLOCK)
		return "a tenant's device can raise only the interrupts that it was given";
	return "a tenant's device can raise any interrupt of the host";
}
