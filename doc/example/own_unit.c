/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Your own unit: how to add another kind of IOMMU to moat. This unit keeps the tables itself,
 * as the kernel does behind VFIO: mapping and unmapping are calls, and on return from an unmap
 * nothing reaches the range. The unit has a list of maps for each domain and a list of attached
 * requesters.
 *
 * A unit that walks the tables of lib/pt has `inval_submit` and similar operations instead;
 * doc/units.md lists every operation. Nothing in lib/ depends on this unit. doc/examples.md
 * explains it.
 *
 *	cc -O2 own_unit.c -o own_unit $(pkg-config --cflags --libs moat)
 *	./own_unit
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_domain.h"

#define DEVICES 8
#define MAPS    64
#define FAULTS  16

/* The unit's state for one domain. A real unit would hold a handle here. */
struct space {
	struct {
		uint64_t iova, len;
		uint8_t *va;
		enum moat_prot prot;
	} map[MAPS];
	unsigned int nr;
};

/* struct moat_unit must be the first member, so that own() can cast a pointer to it. */
struct own_unit {
	struct moat_unit unit;
	pthread_mutex_t lock; /* attach, map and faults come from any thread */
	struct {
		moat_sid_t sid;
		struct space *space; /* NULL: the slot is free */
	} device[DEVICES];
	struct moat_fault fault[FAULTS]; /* a ring of refused requests: the newest stay */
	unsigned int faults, told;       /* recorded so far, and reported or overwritten of them */
};

static struct own_unit *own(struct moat_unit *unit)
{
	return (struct own_unit *)unit;
}

/* ------------------------------------------------------------------ operations, in order of use */

/* Create the unit's state for a new domain. lib/domain stores `*priv` in domain->priv. */
static int own_open(struct moat_unit *unit, struct moat_domain *domain, void **priv)
{
	(void)unit;
	*priv = calloc(1, sizeof(struct space));
	return *priv != NULL ? 0 : moat_error(-ENOMEM, "no memory for domain '%s'", domain->name);
}

static void own_close(struct moat_unit *unit, void *priv)
{
	(void)unit;
	free(priv);
}

/* On return the domain translates the requester's requests. */
static int own_attach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct own_unit *u = own(unit);
	int rc = -ENOSPC;

	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < DEVICES; i++)
		if (u->device[i].space != NULL && u->device[i].sid == sid)
			rc = -EBUSY;
	for (unsigned int i = 0; i < DEVICES && rc == -ENOSPC; i++) {
		if (u->device[i].space != NULL)
			continue;
		u->device[i].sid = sid;
		u->device[i].space = domain->priv;
		rc = 0;
	}
	pthread_mutex_unlock(&u->lock);
	/* The error text says what was wrong, with the value, and what to do. */
	return rc == 0
		? 0
		: moat_error(rc,
			  rc == -EBUSY
				  ? MOAT_SID_FMT " is in a domain already; detach it there first"
				  : MOAT_SID_FMT " is one device too many; detach another first",
			  MOAT_SID_ARGS(sid));
}

/* On return the requester reaches nothing. */
static int own_detach(struct moat_unit *unit, struct moat_domain *domain, moat_sid_t sid)
{
	struct own_unit *u = own(unit);

	(void)domain;
	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < DEVICES; i++)
		if (u->device[i].sid == sid)
			u->device[i].space = NULL;
	pthread_mutex_unlock(&u->lock);
	return 0;
}

static int own_map(struct moat_unit *unit, void *priv, uint64_t iova, void *va, uint64_t len,
	enum moat_prot prot)
{
	struct space *s = priv;
	int rc = 0;

	pthread_mutex_lock(&own(unit)->lock);
	if (s->nr == MAPS) {
		rc = moat_error(-ENOSPC, "this unit has %u maps a domain and all are in use", MAPS);
	} else {
		s->map[s->nr].iova = iova;
		s->map[s->nr].len = len;
		s->map[s->nr].va = va;
		s->map[s->nr++].prot = prot;
	}
	pthread_mutex_unlock(&own(unit)->lock);
	return rc;
}

/* Can [iova, iova + len) be unmapped? With MOAT_CUT_MAPS in `caps.cut`, only whole maps can. Called
 * before anything changes. */
static int own_whole(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len)
{
	struct space *s = priv;
	uint64_t covered = 0;
	bool cut = false;

	pthread_mutex_lock(&own(unit)->lock);
	for (unsigned int i = 0; i < s->nr; i++) {
		uint64_t first = s->map[i].iova, end = first + s->map[i].len;

		if (first >= iova && end <= iova + len)
			covered += s->map[i].len;
		else if (first < iova + len && iova < end)
			cut = true;
	}
	pthread_mutex_unlock(&own(unit)->lock);
	if (cut)
		return moat_error(-EINVAL, "0x%" PRIx64 " is only a part of what one call mapped",
			iova);
	if (covered != len)
		return moat_error(-EINVAL,
			"0x%" PRIx64 " bytes at IOVA 0x%" PRIx64 " are not all mapped", len, iova);
	return 0;
}

/* On return nothing reaches the range. */
static int own_unmap(struct moat_unit *unit, void *priv, uint64_t iova, uint64_t len)
{
	struct space *s = priv;

	pthread_mutex_lock(&own(unit)->lock);
	for (unsigned int i = 0; i < s->nr;)
		if (s->map[i].iova >= iova && s->map[i].iova < iova + len)
			s->map[i] = s->map[--s->nr];
		else
			i++;
	pthread_mutex_unlock(&own(unit)->lock);
	return 0;
}

/* Find the address that the unit uses for memory. This unit uses virtual addresses. */
static int own_hpa(struct moat_unit *unit, const void *va, uint64_t len, uint64_t *hpa)
{
	(void)unit;
	(void)len;
	*hpa = (uintptr_t)va;
	return 0;
}

/* Get faults recorded since the last call, the oldest first. @return how many */
static unsigned int own_faults(struct moat_unit *unit, struct moat_fault faults[], unsigned int n)
{
	struct own_unit *u = own(unit);
	unsigned int k = 0;

	pthread_mutex_lock(&u->lock);
	if (u->faults - u->told > FAULTS)
		u->told = u->faults - FAULTS; /* newer ones have overwritten the rest */
	while (k < n && u->told != u->faults)
		faults[k++] = u->fault[u->told++ % FAULTS];
	pthread_mutex_unlock(&u->lock);
	return k;
}

static void own_destroy(struct moat_unit *unit)
{
	if (moat_domain_unit_unused(unit) != 0)
		return; /* the call has logged which domains are left */
	moat_pt_pool_destroy(unit->pool);
	pthread_mutex_destroy(&own(unit)->lock);
	free(unit);
}

static const struct moat_unit_ops own_ops = {
	.open = own_open,
	.close = own_close,
	.attach = own_attach,
	.detach = own_detach,
	.map = own_map,
	.whole = own_whole,
	.unmap = own_unmap,
	.hpa = own_hpa,
	.faults = own_faults,
	.destroy = own_destroy,
};

/* ----------------------------------------------------------------------------------- making one */

static int own_unit_create(const char *name, struct moat_unit **unit)
{
	struct own_unit *u = calloc(1, sizeof(*u));
	int rc;

	if (u == NULL)
		return moat_error(-ENOMEM, "no memory for unit %s", name);
	pthread_mutex_init(&u->lock, NULL);
	u->unit.ops = &own_ops;
	snprintf(u->unit.name, sizeof(u->unit.name), "%s", name);
	u->unit.kind = "own";
	u->unit.caps.mgaw = 39; /* bits of IOVA */
	u->unit.caps.nd = 16;   /* domain-ids */
	u->unit.caps.coherent = true;
	u->unit.caps.tables = MOAT_TABLES_UNITS;
	u->unit.caps.cut = MOAT_CUT_MAPS;
	/* A domain keeps a page table all the same, because the shadow IOTLB is an index over it.
	 * The table's pages may be any memory, because this unit never reads them. */
	rc = moat_pt_pool_create(NULL, &u->unit.pool);
	if (rc != 0) {
		free(u);
		return rc;
	}
	*unit = &u->unit;
	return 0;
}

/* Translate one request, as the hardware would. @return where the bytes are; NULL: refused, and
 * recorded as a fault */
static void *device_reaches(struct moat_unit *unit, moat_sid_t sid, uint64_t iova,
	enum moat_prot prot)
{
	struct own_unit *u = own(unit);
	void *va = NULL;

	pthread_mutex_lock(&u->lock);
	for (unsigned int i = 0; i < DEVICES; i++) {
		const struct space *s = u->device[i].space;

		for (unsigned int k = 0; s != NULL && u->device[i].sid == sid && k < s->nr; k++)
			if (iova - s->map[k].iova < s->map[k].len &&
				(s->map[k].prot & prot) == prot)
				va = s->map[k].va + (iova - s->map[k].iova);
	}
	if (va == NULL)
		u->fault[u->faults++ % FAULTS] = (struct moat_fault){ .sid = sid,
			.iova = iova & ~(uint64_t)MOAT_PAGE_MASK,
			.reason = prot == MOAT_W ? 5 : 6,
			.reason_text = "not mapped for that",
			.write = prot == MOAT_W,
			.pasid = MOAT_PASID_NONE };
	pthread_mutex_unlock(&u->lock);
	return va;
}

/* ------------------------------------------------------------------------------- a domain on it */

static void must(int rc, const char *what)
{
	if (rc != 0) {
		fprintf(stderr, "%s: %s (%s)\n", what, moat_error_text(), strerror(-rc));
		exit(EXIT_FAILURE);
	}
}

int main(void)
{
	const struct moat_domain_conf conf = { .name = "mine" };
	const moat_sid_t device = MOAT_SID(1, 0, 0);
	struct moat_domain *domain;
	struct moat_fault fault;
	struct moat_unit *unit = NULL;
	struct moat_lane *lane;
	uint8_t *memory = aligned_alloc(MOAT_PAGE_SIZE, 4 * MOAT_PAGE_SIZE);
	const uint64_t iova = 0x10000000;

	must(memory == NULL ? -ENOMEM : 0, "memory");
	must(own_unit_create("own0", &unit), "unit");
	must(moat_domain_create(unit, &conf, &domain), "domain");
	must(moat_domain_attach(domain, device), "attach");
	lane = moat_lane_open(domain);
	must(lane == NULL ? -ENOMEM : 0, "lane");

	must(moat_lane_map(lane, iova, (uintptr_t)memory, memory, 4 * MOAT_PAGE_SIZE, MOAT_R),
		"map");
	printf("mapped: a read is %s",
		device_reaches(unit, device, iova + 64, MOAT_R) == memory + 64 ? "let through"
									       : "REFUSED");
	printf(", a write is %s\n",
		device_reaches(unit, device, iova, MOAT_W) == NULL ? "refused" : "LET THROUGH");
	must(moat_lane_unmap(lane, iova, MOAT_PAGE_SIZE) == -EINVAL ? 0 : -EINVAL,
		"a part is not refused");
	printf("a part: %s\n", moat_error_text());
	must(moat_lane_unmap(lane, iova, 4 * MOAT_PAGE_SIZE), "unmap");
	must(moat_lane_drain(lane), "drain"); /* every ticket is done */
	printf("unmapped: a read is %s\n",
		device_reaches(unit, device, iova, MOAT_R) == NULL ? "refused" : "LET THROUGH");
	while (unit->ops->faults(unit, &fault, 1) == 1)
		printf("refused: a %s by " MOAT_SID_FMT " at 0x%" PRIx64 ": %s\n",
			fault.write ? "write" : "read", MOAT_SID_ARGS(fault.sid), fault.iova,
			fault.reason_text);

	must(moat_lane_close(lane), "lane");
	must(moat_domain_destroy(domain), "domain");
	unit->ops->destroy(unit);
	free(memory);
	return EXIT_SUCCESS;
}
