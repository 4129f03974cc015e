/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_vtd_dmar.h"

/* The table's header, then structures (VT-d specification, "DMA Remapping Reporting Structure"). */
#define DMAR_LENGTH     4
#define DMAR_HAW        36
#define DMAR_FLAGS      37
#define DMAR_STRUCTURES 48

#define STRUCT_HEADER 4 /* type and length, 16 bits each */
#define SCOPE_HEADER  6

enum {
	TYPE_DRHD = 0,
	TYPE_RMRR = 1,
	TYPE_ATSR = 2,
	TYPE_RHSA = 3,
	TYPE_ANDD = 4,
	TYPE_SATC = 5,
};

/** Least length of each type, which is where scopes (or the name) begin. */
static const struct {
	const char *name;
	uint16_t min;
	bool scopes;
} types[] = {
	[TYPE_DRHD] = { "DRHD", 16, true },
	[TYPE_RMRR] = { "RMRR", 24, true },
	[TYPE_ATSR] = { "ATSR", 8, true },
	[TYPE_RHSA] = { "RHSA", 20, false },
	[TYPE_ANDD] = { "ANDD", 9, false },
	[TYPE_SATC] = { "SATC", 8, true },
};

static uint16_t get16(const uint8_t *p)
{
	return p[0] | p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

#define malformed(offset, fmt, ...)                                                   \
	moat_error(-EBADMSG,                                                          \
		"DMAR table, offset 0x%zx: " fmt "; the firmware's table is broken: " \
		"update it, or report it",                                            \
		(size_t)(offset), ##__VA_ARGS__)

/* -------------------------------------------------------- first round: does it add up, how many */

struct counts {
	unsigned int of[RTE_DIM(types)];
	unsigned int unknown;
	unsigned int scopes;
};

static int check_header(const uint8_t *t, size_t len)
{
	uint8_t sum = 0;

	if (len < DMAR_STRUCTURES)
		return malformed(0, "%zu bytes, the header alone has %d", len, DMAR_STRUCTURES);
	if (memcmp(t, "DMAR", 4) != 0)
		return malformed(0, "signature is '%.4s', not 'DMAR'", (const char *)t);
	if (get32(t + DMAR_LENGTH) != len)
		return malformed(DMAR_LENGTH, "says that it has %" PRIu32 " bytes, and has %zu",
			get32(t + DMAR_LENGTH), len);
	for (size_t i = 0; i < len; i++)
		sum += t[i];
	if (sum != 0)
		return malformed(9, "checksum is off by 0x%02x", sum);
	if (t[DMAR_HAW] > 63)
		return malformed(DMAR_HAW, "host address width of %u bits", t[DMAR_HAW] + 1);
	return 0;
}

static int check_scopes(const uint8_t *t, size_t at, size_t end, struct counts *c)
{
	while (at < end) {
		uint8_t len = end - at >= SCOPE_HEADER ? t[at + 1] : 0;

		if (end - at < SCOPE_HEADER)
			return malformed(at, "%zu bytes left over behind the device scopes",
				end - at);
		if (len < SCOPE_HEADER + 2 || (len & 1) || len > end - at)
			return malformed(at + 1, "a device scope of %u bytes, where %zu are left",
				len, end - at);
		c->scopes++;
		at += len;
	}
	return 0;
}

static int check_drhd(const uint8_t *t, size_t at)
{
	if (get64(t + at + 8) == 0 || get64(t + at + 8) % MOAT_PAGE_SIZE != 0)
		return malformed(at + 8, "DRHD with its registers at 0x%" PRIx64,
			get64(t + at + 8));
	return 0;
}

static int check_rmrr(const uint8_t *t, size_t at)
{
	uint64_t base = get64(t + at + 8), limit = get64(t + at + 16);

	if (limit < base || base % MOAT_PAGE_SIZE != 0 || (limit + 1) % MOAT_PAGE_SIZE != 0)
		return malformed(at + 8, "RMRR from 0x%" PRIx64 " to 0x%" PRIx64, base, limit);
	return 0;
}

static int check_andd(const uint8_t *t, size_t at, uint16_t len)
{
	if (memchr(t + at + 8, '\0', len - 8) == NULL)
		return malformed(at + 8, "ANDD whose name does not end");
	return 0;
}

static int check_structure(const uint8_t *t, size_t at, uint16_t type, uint16_t len,
	struct counts *c)
{
	int ret = 0;

	if (type >= RTE_DIM(types)) {
		c->unknown++;
		return 0;
	}
	if (len < types[type].min)
		return malformed(at + 2, "%s of %u bytes, it takes %u", types[type].name, len,
			types[type].min);
	c->of[type]++;
	if (type == TYPE_DRHD)
		ret = check_drhd(t, at);
	else if (type == TYPE_RMRR)
		ret = check_rmrr(t, at);
	else if (type == TYPE_ANDD)
		ret = check_andd(t, at, len);
	if (ret == 0 && types[type].scopes)
		ret = check_scopes(t, at + types[type].min, at + len, c);
	return ret;
}

static int check(const uint8_t *t, size_t len, struct counts *c)
{
	int ret = check_header(t, len);
	size_t at = DMAR_STRUCTURES;

	memset(c, 0, sizeof(*c));
	while (ret == 0 && at < len) {
		uint16_t n = len - at >= STRUCT_HEADER ? get16(t + at + 2) : 0;

		if (n < STRUCT_HEADER || n > len - at)
			return malformed(at, "a structure of %u bytes, where %zu are left", n,
				len - at);
		ret = check_structure(t, at, get16(t + at), n, c);
		at += n;
	}
	if (ret == 0 && c->of[TYPE_DRHD] == 0)
		ret = malformed(DMAR_STRUCTURES, "no DRHD, so no unit");
	return ret;
}

/* ---------------------------------------------------------------------------- second round */

static struct moat_dmar_scopes take_scopes(const uint8_t *t, size_t at, size_t end,
	struct moat_dmar_scope **next)
{
	struct moat_dmar_scopes s = { .scope = *next };

	for (; at < end; at += t[at + 1])
		s.scope[s.n++] = (struct moat_dmar_scope){
			.type = t[at],
			.enumeration = t[at + 4],
			.bus = t[at + 5],
			.nr_path = (t[at + 1] - SCOPE_HEADER) / 2,
			.path = t + at + SCOPE_HEADER,
		};
	*next += s.n;
	return s;
}

static void take_ats(struct moat_dmar_ats *ats, const uint8_t *s, struct moat_dmar_scopes scopes)
{
	*ats = (struct moat_dmar_ats){
		.segment = get16(s + 6),
		.flag = s[4] & 1,
		.scopes = scopes,
	};
}

static void take_structure(struct moat_dmar *d, const uint8_t *t, size_t at,
	struct moat_dmar_scope **next)
{
	const uint8_t *s = t + at;
	uint16_t type = get16(s), len = get16(s + 2);
	struct moat_dmar_scopes scopes = { 0 };

	if (type >= RTE_DIM(types))
		return;
	if (types[type].scopes)
		scopes = take_scopes(t, at + types[type].min, at + len, next);
	switch (type) {
	case TYPE_DRHD:
		d->unit[d->nr_units++] = (struct moat_dmar_unit){
			.segment = get16(s + 6),
			.include_pci_all = s[4] & 1,
			.base = get64(s + 8),
			.size = UINT32_C(4096) << (s[5] & 0xf),
			.proximity = UINT32_MAX,
			.scopes = scopes,
		};
		break;
	case TYPE_RMRR:
		d->rmrr[d->nr_rmrrs++] = (struct moat_dmar_rmrr){
			.segment = get16(s + 6),
			.base = get64(s + 8),
			.limit = get64(s + 16),
			.scopes = scopes,
		};
		break;
	case TYPE_ATSR:
		take_ats(&d->atsr[d->nr_atsrs++], s, scopes);
		break;
	case TYPE_SATC:
		take_ats(&d->satc[d->nr_satcs++], s, scopes);
		break;
	case TYPE_ANDD:
		d->andd[d->nr_andds++] = (struct moat_dmar_andd){ s[7], (const char *)s + 8 };
		break;
	}
}

/** RHSA names a unit by its base and may come before it. */
static void take_rhsa(struct moat_dmar *d, const uint8_t *s)
{
	if (get16(s) != TYPE_RHSA)
		return;
	for (unsigned int i = 0; i < d->nr_units; i++)
		if (d->unit[i].base == get64(s + 8))
			d->unit[i].proximity = get32(s + 16);
}

static void take(struct moat_dmar *d, const uint8_t *t, size_t len)
{
	struct moat_dmar_scope *next = d->scopes;

	d->haw = t[DMAR_HAW] + 1;
	d->intr_remap = t[DMAR_FLAGS] & 1;
	d->x2apic_opt_out = t[DMAR_FLAGS] & 2;
	d->dma_opt_in = t[DMAR_FLAGS] & 4;
	for (size_t at = DMAR_STRUCTURES; at < len; at += get16(t + at + 2))
		take_structure(d, t, at, &next);
	for (size_t at = DMAR_STRUCTURES; at < len; at += get16(t + at + 2))
		take_rhsa(d, t + at);
}

static struct moat_dmar *allocate(const struct counts *c, const void *table, size_t len)
{
	struct moat_dmar *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	/* One more of each: calloc(0) may answer NULL. */
	d->table = malloc(len);
	d->scopes = calloc(c->scopes + 1, sizeof(*d->scopes));
	d->unit = calloc(c->of[TYPE_DRHD] + 1, sizeof(*d->unit));
	d->rmrr = calloc(c->of[TYPE_RMRR] + 1, sizeof(*d->rmrr));
	d->atsr = calloc(c->of[TYPE_ATSR] + 1, sizeof(*d->atsr));
	d->satc = calloc(c->of[TYPE_SATC] + 1, sizeof(*d->satc));
	d->andd = calloc(c->of[TYPE_ANDD] + 1, sizeof(*d->andd));
	if (!d->table || !d->scopes || !d->unit || !d->rmrr || !d->atsr || !d->satc || !d->andd) {
		moat_dmar_free(d);
		return NULL;
	}
	memcpy(d->table, table, len);
	d->nr_unknown = c->unknown;
	return d;
}

int moat_dmar_parse(const void *table, size_t len, struct moat_dmar **dmar)
{
	struct counts c;
	int ret = check(table, len, &c);

	if (ret != 0)
		return ret;
	*dmar = allocate(&c, table, len);
	if (*dmar == NULL)
		return moat_error(-ENOMEM, "no memory for the DMAR table");
	take(*dmar, (*dmar)->table, len);
	return 0;
}

void moat_dmar_free(struct moat_dmar *d)
{
	if (d == NULL)
		return;
	free(d->table);
	free(d->scopes);
	free(d->unit);
	free(d->rmrr);
	free(d->atsr);
	free(d->satc);
	free(d->andd);
	free(d);
}

int moat_dmar_load(const char *root, struct moat_dmar **dmar)
{
	static const size_t limit = 1 << 20; /* no firmware has more to say */
	char path[PATH_MAX];
	size_t len;
	void *table;
	FILE *f;
	int ret;

	snprintf(path, sizeof(path), "%s/sys/firmware/acpi/tables/DMAR", root != NULL ? root : "");
	f = fopen(path, "rb");
	if (f == NULL && errno == ENOENT)
		return moat_error(-ENOENT,
			"%s: there is no DMAR table: the machine has no VT-d, or it is "
			"off in the firmware's settings",
			path);
	if (f == NULL)
		return moat_error(-errno, "%s: %s; reading it takes root", path, strerror(errno));
	table = malloc(limit);
	len = table != NULL ? fread(table, 1, limit, f) : 0;
	fclose(f);
	ret = table != NULL ? moat_dmar_parse(table, len, dmar)
			    : moat_error(-ENOMEM, "no memory for the DMAR table");
	free(table);
	return ret;
}
