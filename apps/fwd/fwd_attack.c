/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * --attack: the first tenant's queue posts addresses that are not the tenant's own, as a
 * compromised tenant that controls a NIC queue would. Each must lead to a fault of the queue's
 * source-id at that address, and the second tenant's bytes must not change.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fwd.h"
#include "moat_net.h"

#define PATIENCE_S 5  /* seconds for a step: a packet must arrive and a fault be recorded */
#define QUIET_S    1  /* seconds of traffic before the first step */
#define GOES_ON    50 /* packets of each tenant that show that its traffic goes on */
#define SECRET     0xb1

enum target { BLUE, UNMAPPED, READ_ONLY, TARGETS };

struct step {
	const char *text; /* what is attempted */
	enum target target;
	bool write; /* by a receive descriptor; false: a read by a transmit descriptor */
	bool refused;
	uint8_t reason;
	const char *reason_text;
};

struct fwd_attack {
	struct fwd_run *run;
	struct fwd_run_tenant *red, *blue;
	struct moat_lane *red_lane, *blue_lane;
	uint8_t *page[TARGETS]; /* the page at the IOVA; NULL: none */
	uint64_t iova[TARGETS];
	/* Nested domains: the page's address in the parent, and a lane there. NULL: not nested */
	uint64_t guest[TARGETS];
	struct moat_lane *guest_lane[TARGETS];
	struct step steps[4];
	unsigned int step; /* index of the present one; RTE_DIM(steps): all done */
	bool posted;
	uint16_t port, queue; /* red's queue that attacks */
	moat_sid_t sid;
	uint32_t pasid;
	uint64_t deadline; /* TSC */
	uint64_t sent[2];  /* red's and blue's packets when the last step was over */
	bool goes_on;
	uint64_t stale_interrupts; /* of the unit before the attack */
	bool interrupts_tried;
	bool breached, undecided;
};

static const struct step all_steps[] = {
	{ "write to an IOVA of %s's", BLUE, .write = true },
	{ "read from an IOVA of %s's", BLUE, .write = false },
	{ "read from an unmapped IOVA", UNMAPPED, .write = false },
	{ "write to a read-only IOVA", READ_ONLY, .write = true },
};

static uint64_t in_seconds(unsigned int seconds)
{
	return rte_rdtsc() + seconds * rte_get_tsc_hz();
}

/* ------------------------------------------------------------------------------- the targets */

/* Map the page in the parent of a nested domain. */
static int make_guest_page(struct fwd_attack *a, enum target target, struct moat_domain *parent,
	uint64_t hpa)
{
	int rc = moat_iova_alloc(parent->iova, NULL, MOAT_PAGE_SIZE, 0, &a->guest[target]);

	if (rc != 0)
		return rc;
	a->guest_lane[target] = moat_lane_open(parent);
	return a->guest_lane[target] == NULL
		? -ENOMEM
		: moat_lane_map(a->guest_lane[target], a->guest[target], hpa, a->page[target],
			  MOAT_PAGE_SIZE, MOAT_RW);
}

/* Map a page at an IOVA that is unmapped in `other`. `lane` NULL: only choose the IOVA. */
static int make_target(struct fwd_attack *a, enum target target, struct moat_domain *domain,
	struct moat_domain *other, struct moat_lane *lane, enum moat_prot prot)
{
	struct moat_unit *unit = domain->unit;
	uint64_t hpa;
	int rc;

	for (;;) { /* an IOVA that `other` happens to use stays reserved here, until the end */
		rc = moat_iova_alloc(domain->iova, NULL, MOAT_PAGE_SIZE, 0, &a->iova[target]);
		if (rc != 0)
			return rc;
		if (other == NULL)
			break;
		rc = moat_iova_reserve(other->iova, a->iova[target], MOAT_PAGE_SIZE);
		if (rc == 0)
			break;
		if (rc != -EBUSY)
			return rc;
	}
	if (lane == NULL)
		return 0;
	if (posix_memalign((void **)&a->page[target], MOAT_PAGE_SIZE, MOAT_PAGE_SIZE) != 0)
		return moat_error(-ENOMEM, "no memory for a page to attack");
	memset(a->page[target], SECRET, MOAT_PAGE_SIZE);
	rc = unit->ops->hpa(unit, a->page[target], MOAT_PAGE_SIZE, &hpa);
	if (rc != 0)
		return moat_error(rc, "unit %s: the page to attack has no physical address",
			unit->name);
	if (domain->parent != NULL) {
		rc = make_guest_page(a, target, domain->parent, hpa);
		hpa = a->guest[target];
	}
	return rc != 0
		? rc
		: moat_lane_map(lane, a->iova[target], hpa, a->page[target], MOAT_PAGE_SIZE, prot);
}

static int make_targets(struct fwd_attack *a)
{
	struct moat_domain *red = moat_tenant_domain(a->red->tenant);
	struct moat_domain *blue = moat_tenant_domain(a->blue->tenant);
	int rc;

	a->red_lane = moat_lane_open(red);
	a->blue_lane = a->red_lane != NULL ? moat_lane_open(blue) : NULL;
	if (a->blue_lane == NULL)
		return -ENOMEM;
	rc = make_target(a, BLUE, blue, red, a->blue_lane, MOAT_RW);
	if (rc == 0)
		rc = make_target(a, UNMAPPED, red, NULL, NULL, 0);
	if (rc == 0)
		rc = make_target(a, READ_ONLY, red, NULL, a->red_lane, MOAT_R);
	return rc;
}

static bool untouched(const uint8_t *page)
{
	for (uint64_t i = 0; i < MOAT_PAGE_SIZE; i++)
		if (page[i] != SECRET)
			return false;
	return true;
}

/* ---------------------------------------------------------------------------------- a step */

static void report_step(struct fwd_attack *a, const struct step *s)
{
	char text[64], pasid[24] = "";

	snprintf(text, sizeof(text), s->text, a->blue->conf->name);
	if (a->pasid != MOAT_PASID_NONE)
		snprintf(pasid, sizeof(pasid), ", PASID %" PRIu32, a->pasid);
	if (s->refused)
		fwd_report_line("attack: %s tries to %s, 0x%" PRIx64
				": refused, source-id " MOAT_SID_FMT "%s, reason %u: %s",
			a->red->conf->name, text, a->iova[s->target], MOAT_SID_ARGS(a->sid), pasid,
			s->reason, s->reason_text);
	else
		fwd_report_line("attack: %s tries to %s, 0x%" PRIx64 ": NOT REFUSED within %u s%s",
			a->red->conf->name, text, a->iova[s->target], PATIENCE_S,
			a->posted ? "" : "; no packet came by");
}

/* Is it the fault that the present step expects? */
static bool on_fault(void *ctx, const struct moat_fault *f)
{
	struct fwd_attack *a = ctx;
	struct step *s = &a->steps[a->step];

	if (a->step == RTE_DIM(a->steps) || !a->posted || f->sid != a->sid ||
		f->pasid != a->pasid || f->write != s->write ||
		(f->iova & ~MOAT_PAGE_MASK) != a->iova[s->target])
		return false;
	s->refused = true;
	s->reason = f->reason;
	s->reason_text = f->reason_text;
	return true;
}

static int post(struct fwd_attack *a, const struct step *s)
{
	uint64_t iova = a->iova[s->target];

	return s->write ? moat_net_post_rx(a->port, a->queue, iova)
			: moat_net_post_tx(a->port, a->queue, iova, 256);
}

static uint64_t sent(const struct fwd_run_tenant *t)
{
	struct fwd_snapshot s;

	fwd_snapshot(t, &s);
	return s.count.tx_packets;
}

static void next_step(struct fwd_attack *a)
{
	struct step *s = &a->steps[a->step];

	report_step(a, s);
	for (enum target t = 0; t < TARGETS; t++) {
		if (a->page[t] == NULL || untouched(a->page[t]))
			continue;
		fwd_report_line("attack: BYTES CHANGED at IOVA 0x%" PRIx64, a->iova[t]);
		a->breached = true;
		memset(a->page[t], SECRET, MOAT_PAGE_SIZE);
	}
	a->undecided |= !s->refused;
	a->posted = false;
	a->step++;
	a->deadline = in_seconds(PATIENCE_S);
	a->sent[0] = sent(a->red);
	a->sent[1] = sent(a->blue);
}

/* Count the interrupts that were delivered though no entry of the requester allows them, as the
 * unit's oracle found; 0 without an oracle. */
static uint64_t stale_interrupts(const struct fwd_attack *a)
{
	struct app_unit_stats stats;

	app_unit_stats(a->red->conf->unit->unit, &stats);
	return stats.stale_interrupts;
}

/* After the DMA, try interrupts, all at once: they need no packet to arrive. */
static void try_interrupts(struct fwd_attack *a)
{
	const struct fwd_queue *q = &a->blue->conf->queues[0];
	struct fwd_intr_attack attack = {
		.red = a->red,
		.blue = a->blue,
		.port = a->port,
		.queue = a->queue,
		.sid = a->sid,
	};
	uint32_t pasid;
	int rc = fwd_port_queue_sid(fwd_run_port(a->run, q->port), q->queue, &attack.blue_sid,
		&pasid);

	if (rc == 0)
		rc = fwd_attack_interrupts(a->run, &attack);
	a->breached |= rc == 0;
	a->undecided |= rc < 0;
	a->interrupts_tried = true;
	fwd_faults_hook(on_fault, a);
}

/* After the last step: does the traffic of all tenants go on? */
static void watch_traffic(struct fwd_attack *a)
{
	if (a->goes_on)
		return;
	a->goes_on = sent(a->red) >= a->sent[0] + GOES_ON && sent(a->blue) >= a->sent[1] + GOES_ON;
	if (a->goes_on)
		fwd_report_line("attack: %s's bytes are unchanged; the packets of %s and %s go on",
			a->blue->conf->name, a->red->conf->name, a->blue->conf->name);
}

void fwd_attack_poll(struct fwd_attack *a)
{
	uint64_t now = rte_rdtsc();

	if (a->step == RTE_DIM(a->steps)) {
		if (!a->interrupts_tried)
			try_interrupts(a);
		watch_traffic(a);
	} else if (a->step == 0 && !a->posted &&
		now + PATIENCE_S * rte_get_tsc_hz() < a->deadline) {
		return; /* QUIET_S is not over */
	} else if (!a->posted) {
		a->posted = post(a, &a->steps[a->step]) == 0;
		if (now > a->deadline)
			next_step(a);
	} else if (a->steps[a->step].refused || now > a->deadline) {
		next_step(a);
	}
}

/* ------------------------------------------------------------------------- beginning and end */

/* Unmap the page in the parent of a nested domain, too. @return 0: the unit cannot reach it */
static int unmap_guest_page(struct fwd_attack *a, enum target target)
{
	if (a->guest_lane[target] == NULL)
		return 0;
	moat_lane_unmap(a->guest_lane[target], a->guest[target], MOAT_PAGE_SIZE);
	return moat_lane_close(a->guest_lane[target]);
}

static void destroy(struct fwd_attack *a)
{
	fwd_faults_hook(NULL, NULL);
	if (a->blue_lane != NULL && a->page[BLUE] != NULL)
		moat_lane_unmap(a->blue_lane, a->iova[BLUE], MOAT_PAGE_SIZE);
	if (a->red_lane != NULL && a->page[READ_ONLY] != NULL)
		moat_lane_unmap(a->red_lane, a->iova[READ_ONLY], MOAT_PAGE_SIZE);
	/* Closing a lane waits for its tickets. If the unit does not answer, a page that it may
	 * still reach is not freed. */
	if ((a->blue_lane == NULL || moat_lane_close(a->blue_lane) == 0) &&
		unmap_guest_page(a, BLUE) == 0)
		free(a->page[BLUE]);
	if ((a->red_lane == NULL || moat_lane_close(a->red_lane) == 0) &&
		unmap_guest_page(a, READ_ONLY) == 0)
		free(a->page[READ_ONLY]);
	free(a);
}

struct fwd_attack *fwd_attack_create(struct fwd_run *run)
{
	struct fwd_attack *a = calloc(1, sizeof(*a));
	const struct fwd_queue *q;
	struct moat_net_info info;
	int rc = 0;

	if (a == NULL) {
		moat_error(-ENOMEM, "no memory for --attack");
		return NULL;
	}
	if (run->conf->nr_tenants < 2)
		rc = moat_error(-EINVAL,
			"--attack needs two tenants: one that attacks, one to be attacked");
	*a = (struct fwd_attack){ .run = run, .red = &run->tenants[0], .blue = &run->tenants[1] };
	memcpy(a->steps, all_steps, sizeof(a->steps));
	q = &a->red->conf->queues[0];
	a->port = fwd_run_port(run, q->port)->id;
	a->queue = q->queue;
	if (rc == 0)
		rc = moat_net_info(a->port, &info);
	if (rc == 0)
		rc = moat_net_queue_sid(a->port, a->queue, &a->sid);
	if (rc == 0)
		rc = moat_net_queue_pasid(a->port, a->queue, &a->pasid);
	if (rc == 0)
		rc = make_targets(a);
	if (rc != 0) {
		destroy(a);
		return NULL;
	}
	a->stale_interrupts = stale_interrupts(a);
	a->deadline = in_seconds(PATIENCE_S + QUIET_S);
	fwd_faults_hook(on_fault, a);
	return a;
}

int fwd_attack_end(struct fwd_attack *a)
{
	uint64_t stale = stale_interrupts(a) - a->stale_interrupts;
	int rc = 0;

	if (stale != 0)
		fwd_report_line(
			"attack: DELIVERED: %ju interrupts by entries that were taken back or "
			"belong to another device",
			(uintmax_t)stale);
	if (a->step != RTE_DIM(a->steps)) {
		fwd_report_line(
			"attack: only %u of %zu attempts were made before the end; run for longer",
			a->step, RTE_DIM(a->steps));
		rc = FWD_EXIT_FAILED;
	} else if (!a->goes_on) {
		fwd_report_line(
			"attack: too few packets were forwarded afterwards; if there was traffic, run for "
			"longer");
		rc = FWD_EXIT_FAILED;
	}
	if (a->breached || a->undecided || stale != 0)
		rc = FWD_EXIT_BREACHED;
	destroy(a);
	return rc;
}
