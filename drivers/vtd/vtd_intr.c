/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Interrupt remapping: the table, its entries, and the invalidations behind them. moat_vtd_intr.h
 * has the idea.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "vtd_impl.h"

_Static_assert(sizeof(struct moat_posted) == sizeof(struct vtd_pi_desc),
	"lib/unit's line is the specification's descriptor");
/* NOLINTNEXTLINE(misc-redundant-expression): that both are the same is the point */
_Static_assert(MOAT_POSTED_SN == VTD_PI_SN, "lib/unit's line is the specification's descriptor");

enum { FREE = 0, GIVEN, LEAVING, LOST };

struct vtd_irte_slot {
	uint8_t state;
	moat_sid_t sid; /* GIVEN: the requester it was given to */
	int64_t seq;    /* LEAVING: of the invalidation; 0: not submitted yet */
	uint64_t cause; /* of the last revocation */
};

static struct vtd_entry *irte(const struct vtd *v, uint16_t index)
{
	return (struct vtd_entry *)v->intr.table.va + index;
}

/* ------------------------------------------------------------------------------- up and down */

int vtd_intr_create(struct vtd *v)
{
	uint32_t entries = 1u << MOAT_VTD_IRT_ORDER;
	int ret;

	v->intr.mode = v->conf.interrupts;
	if (v->conf.interrupts_why != NULL)
		snprintf(v->intr.why, sizeof(v->intr.why), "%s", v->conf.interrupts_why);
	if (v->intr.mode == MOAT_VTD_INTERRUPTS_LEAVE)
		return 0;
	if (!v->caps.ir)
		return moat_error(-EOPNOTSUPP,
			"unit %s cannot remap interrupts (ECAP.IR is clear), so it can neither block nor "
			"pass them: a tenant's device can raise any interrupt of the host",
			v->unit.name);
	v->intr.entries = entries;
	v->intr.eime = v->intr.mode == MOAT_VTD_INTERRUPTS_BLOCK && v->caps.eim;
	v->intr.slot = calloc(entries, sizeof(*v->intr.slot));
	if (v->intr.slot == NULL)
		return moat_error(-ENOMEM, "unit %s: no memory for %" PRIu32 " interrupt entries",
			v->unit.name, entries);
	ret = vtd_pages_take(v, entries * sizeof(struct vtd_entry) / MOAT_PAGE_SIZE,
		&v->intr.table);
	if (ret == 0)
		vtd_flush_lines(v, irte(v, 0), entries * sizeof(struct vtd_entry));
	return ret;
}

void vtd_intr_free(struct vtd *v)
{
	free(v->intr.slot);
}

/*
 * A unit that takes CFI shows it in GSTS, also while remapping is off and nothing depends on it.
 * QEMU's does not, and lets compatibility format pass whatever was asked of it: such a unit must
 * not be trusted to block. @return 0: it takes CFI, and has it now as found; 1: it does not
 */
static int cfi_prove(struct vtd *v)
{
	uint32_t gsts = vtd_read32(&v->w, VTD_GSTS);
	uint64_t end = vtd_now_ms() + RTE_MIN(v->conf.deadline_ms, 50u);
	uint32_t keep = gsts & VTD_GSTS_KEEP;

	if (gsts & VTD_GSTS_CFIS)
		return 0;
	vtd_write32(&v->w, VTD_GCMD, keep | VTD_GCMD_CFI);
	do {
		if (vtd_read32(&v->w, VTD_GSTS) & VTD_GSTS_CFIS)
			return vtd_command(v, VTD_GCMD_CFI, false,
				"compatibility-format interrupts off (CFI)");
		if (v->w.run != NULL)
			v->w.run(v->w.ctx);
	} while (vtd_now_ms() < end);
	vtd_write32(&v->w, VTD_GCMD, keep);
	return 1;
}

static const char untrusted[] =
	"the unit does not take CFI (GSTS.CFIS stays clear, as on QEMU's), so whether it blocks "
	"compatibility format cannot be known";

/* The unit does not take CFI. @return 0: interrupts are left alone; -EOPNOTSUPP */
static int cfi_missing(struct vtd *v)
{
	if (v->intr.mode == MOAT_VTD_INTERRUPTS_BLOCK && !v->conf.interrupts_optional)
		return moat_error(-EOPNOTSUPP, "unit %s: interrupts = block: %s", v->unit.name,
			untrusted);
	v->intr.mode = MOAT_VTD_INTERRUPTS_LEAVE;
	v->intr.eime = false;
	snprintf(v->intr.why, sizeof(v->intr.why), "%s", untrusted);
	return 0;
}

/*
 * "Enabling Interrupt Remapping": the table, its cache invalidated as a whole, what becomes of
 * compatibility format, and only then remapping: no request meets an older owner's entries.
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
		v->intr.table.hpa | (v->intr.eime ? VTD_IRTA_EIME : 0) | (MOAT_VTD_IRT_ORDER - 1));
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

/* A table that a moat left has its own size, and lies in the 2 MiB of the root table; the kernel's
 * has all 65,536 entries. */
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
	if (to->post == 0 && !v->intr.eime && to->destination > UINT8_MAX)
		return moat_error(-EINVAL,
			"unit %s: destination 0x%" PRIx32 " has more than the 8 bits of xAPIC mode",
			v->unit.name, to->destination);
	return 0;
}

/* Which source-ids may use the entry: the function's own, or, where bridges put theirs in its
 * place, those of their bus. @return 0, -ENOSPC */
static int verification(const struct vtd *v, moat_sid_t sid, uint64_t *hi)
{
	moat_sid_t alias[MOAT_VTD_ALIASES] = { sid };
	unsigned int n = 1, first = sid >> 8, last = first;

	if (v->conf.scope.aliases != NULL)
		n = v->conf.scope.aliases(v->conf.scope.ctx, sid, alias);
	if (n > MOAT_VTD_ALIASES)
		return moat_error(-ENOSPC,
			"unit %s: requests of " MOAT_SID_FMT " may carry %u source-ids; put the "
			"device below fewer PCI bridges",
			v->unit.name, MOAT_SID_ARGS(sid), n);
	for (unsigned int i = 1; i < n; i++) {
		first = RTE_MIN(first, (unsigned int)alias[i] >> 8);
		last = RTE_MAX(last, (unsigned int)alias[i] >> 8);
	}
	if (n <= 1)
		*hi = sid | (uint64_t)VTD_SVT_SID << VTD_IRTE_SVT_SHIFT;
	else
		*hi = first << 8 | last | (uint64_t)VTD_SVT_BUS << VTD_IRTE_SVT_SHIFT;
	return 0;
}

static struct vtd_entry irte_make(const struct vtd *v, const struct moat_vtd_vector *to,
	uint64_t hi)
{
	uint64_t lo = VTD_IRTE_P | (uint64_t)to->vector << VTD_IRTE_VECTOR_SHIFT;
	uint64_t dst = v->intr.eime ? to->destination : to->destination << 8;

	if (to->post != 0)
		return (struct vtd_entry){
			lo | VTD_IRTE_IM | (to->urgent ? VTD_IRTE_URG : 0) |
				(to->post << 32 & VTD_IRTE_PDAL),
			hi | (to->post & VTD_IRTE_PDAH),
		};
	lo |= to->logical ? VTD_IRTE_DM : 0;
	return (struct vtd_entry){ lo | dst << VTD_IRTE_DST_SHIFT, hi };
}

/* Under v->intr.lock. @return a free index; -ENOSPC */
static int index_take(struct vtd *v, moat_sid_t sid)
{
	for (uint32_t i = 0; i < v->intr.entries; i++) {
		uint32_t index = v->intr.next++ % v->intr.entries;

		if (v->intr.slot[index].state == FREE) {
			v->intr.slot[index].state = GIVEN;
			v->intr.slot[index].sid = sid;
			return index;
		}
	}
	return moat_error(-ENOSPC, "unit %s: all %" PRIu32 " interrupt entries are in use",
		v->unit.name, v->intr.entries);
}

/* The unit may have cached the entry's absence (CM), or may not see it yet (RWBF). */
static int tell_present(struct vtd *v, uint16_t index)
{
	const struct moat_qi_desc one = moat_qi_int_entry(false, index, 0);
	int ret = vtd_flush_write_buffer(&v->unit);

	return ret != 0 || !v->caps.cm ? ret : vtd_queue_sync(v, &one, 1);
}

/* The entry of an index becomes present: the half with P last (release: the unit may fetch it at
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

	/* relaxed: what must come behind is the invalidation, and moat_qi_submit() releases */
	__atomic_store_n(&at->lo, 0, __ATOMIC_RELAXED);
	vtd_flush_lines(v, at, sizeof(*at));
}

int moat_vtd_interrupt_give(struct moat_unit *unit, moat_sid_t sid,
	const struct moat_vtd_vector *to, struct moat_interrupt *msi)
{
	struct vtd *v = vtd_of(unit);
	const struct moat_vtd_intr_watch *watch = &v->conf.intr_watch;
	int ret = destination_check(v, to), index;
	uint64_t hi = 0;

	if (ret == 0 && v->conf.scope.admit != NULL)
		ret = v->conf.scope.admit(v->conf.scope.ctx, sid);
	if (ret == 0)
		ret = verification(v, sid, &hi);
	if (ret != 0)
		return ret;
	pthread_mutex_lock(&v->intr.lock);
	index = index_take(v, sid);
	pthread_mutex_unlock(&v->intr.lock);
	if (index < 0)
		return index;
	if (watch->given != NULL)
		watch->given(watch->ctx, index, sid);
	irte_set(v, index, irte_make(v, to, hi));
	ret = tell_present(v, index);
	if (ret != 0) {
		irte_clear(v, index); /* and the index is never given again */
		v->intr.slot[index].state = LOST;
		return ret;
	}
	*msi = (struct moat_interrupt){
		.address = VTD_MSI_BASE | VTD_MSI_REMAPPABLE | VTD_MSI_HANDLE(index),
		.index = index,
	};
	return 0;
}

/* ----------------------------------------------------------------------------- taking back */

/* Under the lock. */
static int64_t revoke(struct vtd *v, uint16_t index)
{
	const struct moat_vtd_intr_watch *watch = &v->conf.intr_watch;
	const struct moat_qi_desc one = moat_qi_int_entry(false, index, 0);
	struct vtd_irte_slot *s = &v->intr.slot[index];

	if (s->state == GIVEN) {
		irte_clear(v, index);
		s->state = LEAVING;
		s->seq = 0;
		s->cause = ++v->intr.revocations;
		if (watch->revoked != NULL)
			watch->revoked(watch->ctx, index, s->cause);
	} else if (s->state != LEAVING) {
		return moat_error(-ENOENT, "unit %s: interrupt entry %u is not given", v->unit.name,
			index);
	}
	if (s->seq == 0) {
		int64_t seq = moat_qi_submit(v->unit.qi, &one, 1);

		if (seq < 0)
			return seq;
		s->seq = seq;
	}
	return s->seq;
}

int64_t moat_vtd_interrupt_revoke(struct moat_unit *unit, uint16_t index)
{
	struct vtd *v = vtd_of(unit);
	int64_t ret;

	if (index >= v->intr.entries)
		return moat_error(-ENOENT, "unit %s has no interrupt entry %u", v->unit.name,
			index);
	ret = vtd_flush_write_buffer(unit);
	if (ret != 0)
		return ret;
	pthread_mutex_lock(&v->intr.lock);
	ret = revoke(v, index);
	pthread_mutex_unlock(&v->intr.lock);
	return ret;
}

/* Under the lock. */
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

	if (index >= v->intr.entries)
		return moat_error(-EINVAL, "unit %s has no interrupt entry %u", v->unit.name,
			index);
	pthread_mutex_lock(&v->intr.lock);
	ret = revoked(v, index);
	pthread_mutex_unlock(&v->intr.lock);
	return ret;
}

int moat_vtd_interrupt_take_back(struct moat_unit *unit, uint16_t index)
{
	struct vtd *v = vtd_of(unit);
	uint64_t end = vtd_now_ms() + v->conf.deadline_ms;
	int64_t ret;

	do {
		ret = moat_vtd_interrupt_revoke(unit, index);
		while (ret > 0) {
			int done = moat_vtd_interrupt_revoked(unit, index);

			if (done == 1)
				return 0;
			ret = done == 0 ? ret : -EAGAIN; /* refused: submit again */
			if (vtd_now_ms() >= end)
				break;
			moat_lanes_quiescent();
			sched_yield();
		}
	} while (ret == -EAGAIN && vtd_now_ms() < end);
	if (ret < 0 && ret != -EAGAIN)
		return (int)ret;
	return moat_error(-ETIMEDOUT,
		"unit %s: interrupt entry %u was not confirmed as revoked within %" PRIu32
		" ms; it stays out of use",
		v->unit.name, index, v->conf.deadline_ms);
}

int vtd_intr_leave(struct vtd *v, moat_sid_t sid)
{
	int ret = 0;

	for (uint32_t i = 0; i < v->intr.entries; i++) {
		const struct vtd_irte_slot *s = &v->intr.slot[i];
		bool its;

		pthread_mutex_lock(&v->intr.lock);
		its = s->sid == sid && (s->state == GIVEN || s->state == LEAVING);
		pthread_mutex_unlock(&v->intr.lock);
		if (its) {
			int one = moat_vtd_interrupt_take_back(&v->unit, i);

			ret = ret == 0 ? one : ret;
		}
	}
	return ret;
}

/* --------------------------------------------------------------------- for struct moat_unit_ops */

int vtd_interrupt_give(struct moat_unit *unit, moat_sid_t sid, void (*fn)(void *ctx), void *ctx,
	struct moat_interrupt *interrupt)
{
	return moat_error(-EOPNOTSUPP,
		"unit %s: the kernel hands out the host's interrupt vectors, and this process has none "
		"to give " MOAT_SID_FMT "; poll its queue, or have its interrupts posted",
		unit->name, MOAT_SID_ARGS(sid));
}

int vtd_interrupt_post(struct moat_unit *unit, moat_sid_t sid, struct moat_posted *line,
	uint8_t vector, struct moat_interrupt *interrupt)
{
	struct moat_vtd_vector to = { .vector = vector };
	int ret = unit->ops->hpa(unit, line, sizeof(*line), &to.post);

	return ret != 0 ? ret : moat_vtd_interrupt_give(unit, sid, &to, interrupt);
}

int vtd_interrupt_take(struct moat_unit *unit, const struct moat_interrupt *interrupt)
{
	return moat_vtd_interrupt_take_back(unit, interrupt->index);
}

/* ------------------------------------------------------------------------------- in words */

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
	return vtd_of(unit)->intr.eime;
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
