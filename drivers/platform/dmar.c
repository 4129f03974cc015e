/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moat_vtd_dmar.h"

/* Offsets in the table's header, which the structures follow (VT-d specification, "DMA Remapping
 * Reporting Structure"). */
#define DMAR_LENGTH     4
#define DMAR_CHECKSUM   9
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
	TYPE_SIDP = 6,
};

/** The least length of each type. Where a type has scopes, they begin there. */
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
	[TYPE_SIDP] = { "SIDP", 8, true },
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

#define unusable(offset, fmt, ...)                                                    \
	moat_error(-EBADMSG,                                                          \
		"DMAR table, offset 0x%zx: " fmt "; the firmware's table is broken: " \
		"update the firmware, or report this",                                \
		(size_t)(offset), ##__VA_ARGS__)

/* -------------------------------------------- first round: find and count the usable structures */

/** A usable structure: where it begins, and where it or its usable scopes end. */
struct part {
	size_t at, end;
};

struct round {
	const uint8_t *t;
	unsigned int of[RTE_DIM(types)];
	unsigned int unknown, scopes, parts, faults;
	struct part *part;
	struct moat_dmar_fault *fault;
	bool no_memory;
};

/** Make room for one more element in an array that is full at every power of two. @return the
 * array; NULL: no memory */
static void *grow(struct round *r, void *array, unsigned int n, size_t size)
{
	void *more = array;

	if ((n & (n - 1)) == 0)
		more = realloc(array, RTE_MAX(1u, 2 * n) * size);
	r->no_memory |= more == NULL;
	return more;
}

static void __rte_format_printf(3, 4) note(struct round *r, size_t offset, const char *fmt, ...)
{
	struct moat_dmar_fault *more = grow(r, r->fault, r->faults, sizeof(*more));
	va_list ap;

	if (more == NULL)
		return;
	r->fault = more;
	va_start(ap, fmt);
	more[r->faults].offset = offset;
	if (vasprintf(&more[r->faults].text, fmt, ap) < 0)
		r->no_memory = true;
	else
		r->faults++;
	va_end(ap);
}

/** Check the header. @return 0, `len` is the length that the header states; -EBADMSG */
static int check_header(struct round *r, size_t *len)
{
	const uint8_t *t = r->t;
	uint8_t sum = 0;

	if (*len < DMAR_STRUCTURES)
		return unusable(0, "%zu bytes are fewer than the header's %d", *len,
			DMAR_STRUCTURES);
	if (memcmp(t, "DMAR", 4) != 0)
		return unusable(0, "signature is '%.4s', not 'DMAR'", (const char *)t);
	if (get32(t + DMAR_LENGTH) > *len || get32(t + DMAR_LENGTH) < DMAR_STRUCTURES)
		return unusable(DMAR_LENGTH, "the header says %" PRIu32 " bytes, but there are %zu",
			get32(t + DMAR_LENGTH), *len);
	if (t[DMAR_HAW] < MOAT_PAGE_SHIFT - 1)
		return unusable(DMAR_HAW, "a host address width of %u bits is too small",
			t[DMAR_HAW] + 1);
	if (get32(t + DMAR_LENGTH) < *len)
		note(r, DMAR_LENGTH, "%zu bytes follow behind the table's length; they are ignored",
			*len - get32(t + DMAR_LENGTH));
	*len = get32(t + DMAR_LENGTH);
	for (size_t i = 0; i < *len; i++)
		sum += t[i];
	if (sum != 0)
		note(r, DMAR_CHECKSUM, "the checksum is off by 0x%02x", sum);
	if (t[DMAR_HAW] > 63)
		note(r, DMAR_HAW, "a host address width of %u bits; 64 is used", t[DMAR_HAW] + 1);
	return 0;
}

/** @return where the usable scopes end */
static size_t check_scopes(struct round *r, size_t at, size_t end)
{
	while (at < end) {
		uint8_t len = end - at >= SCOPE_HEADER ? r->t[at + 1] : 0;

		if (end - at < SCOPE_HEADER) {
			note(r, at, "%zu bytes are left over behind the device scopes", end - at);
			break;
		}
		if (len < SCOPE_HEADER + 2 || (len & 1) || len > end - at) {
			note(r, at + 1,
				"a device scope of %u bytes, where %zu are left; this one and "
				"those behind it in the structure are left out",
				len, end - at);
			break;
		}
		r->scopes++;
		at += len;
	}
	return at;
}

/** @return whether the unit can be used; `ret` is set if the whole table is refused */
static bool check_drhd(struct round *r, size_t at, int *ret)
{
	uint64_t base = get64(r->t + at + 8);

	if (base == 0)
		*ret = unusable(at + 8, "DRHD with its registers at 0x0");
	else if (base % MOAT_PAGE_SIZE != 0)
		note(r, at + 8, "a DRHD with its registers at 0x%" PRIx64 " is left out", base);
	return base != 0 && base % MOAT_PAGE_SIZE == 0;
}

static void check_rmrr(struct round *r, size_t at)
{
	uint64_t base = get64(r->t + at + 8), limit = get64(r->t + at + 16);

	if (limit < base)
		note(r, at + 8, "an RMRR ends before it begins: 0x%" PRIx64 " to 0x%" PRIx64, base,
			limit);
	else if (base % MOAT_PAGE_SIZE != 0 || (limit + 1) % MOAT_PAGE_SIZE != 0)
		note(r, at + 8,
			"an RMRR does not consist of whole pages: 0x%" PRIx64 " to 0x%" PRIx64,
			base, limit);
}

static bool check_andd(struct round *r, size_t at, uint16_t len)
{
	if (memchr(r->t + at + 8, '\0', len - 8) != NULL)
		return true;
	note(r, at + 8, "an ANDD whose name is not terminated is left out");
	return false;
}

static int check_structure(struct round *r, size_t at, uint16_t len)
{
	uint16_t type = get16(r->t + at);
	size_t end = at + len;
	struct part *more;
	int ret = 0;

	if (type >= RTE_DIM(types)) {
		r->unknown++;
		return 0;
	}
	if (len < types[type].min) {
		note(r, at + 2, "%s has %u bytes, fewer than %u, and is left out", types[type].name,
			len, types[type].min);
		return 0;
	}
	if ((type == TYPE_DRHD && !check_drhd(r, at, &ret)) ||
		(type == TYPE_ANDD && !check_andd(r, at, len)))
		return ret;
	if (type == TYPE_RMRR)
		check_rmrr(r, at);
	if (types[type].scopes)
		end = check_scopes(r, at + types[type].min, end);
	more = grow(r, r->part, r->parts, sizeof(*more));
	if (more == NULL)
		return 0; /* grow() has set no_memory */
	r->part = more;
	r->part[r->parts++] = (struct part){ at, end };
	r->of[type]++;
	return 0;
}

/** @return 0, or a negative errno: the table cannot be used */
static int check(struct round *r, size_t len)
{
	int ret = check_header(r, &len);
	size_t at = DMAR_STRUCTURES;

	while (ret == 0 && at < len) {
		uint16_t n = len - at >= STRUCT_HEADER ? get16(r->t + at + 2) : 0;

		if (n < STRUCT_HEADER) {
			note(r, at, "%zu bytes behind the last structure are ignored", len - at);
			break;
		}
		if (n > len - at)
			return unusable(at, "a structure of %u bytes, where %zu are left", n,
				len - at);
		ret = check_structure(r, at, n);
		at += n;
	}
	if (ret == 0 && r->no_memory)
		ret = moat_error(-ENOMEM, "no memory for the DMAR table");
	if (ret == 0 && r->of[TYPE_DRHD] == 0)
		ret = unusable(r->faults != 0 ? r->fault[0].offset : DMAR_STRUCTURES,
			"no DRHD, so no unit%s%s", r->faults != 0 ? ": " : "",
			r->faults != 0 ? r->fault[0].text : "");
	return ret;
}

/* ------------------------------------------------ second round: store the usable structures */

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

static void take_structure(struct moat_dmar *d, const uint8_t *t, const struct part *part,
	struct moat_dmar_scope **next)
{
	const uint8_t *s = t + part->at;
	uint16_t type = get16(s);
	struct moat_dmar_scopes scopes = { 0 };

	if (types[type].scopes)
		scopes = take_scopes(t, part->at + types[type].min, part->end, next);
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
	case TYPE_SIDP:
		take_ats(&d->sidp[d->nr_sidps], s, scopes);
		d->sidp[d->nr_sidps++].flag = false; /* that byte is reserved */
		break;
	case TYPE_ANDD:
		d->andd[d->nr_andds++] = (struct moat_dmar_andd){ s[7], (const char *)s + 8 };
		break;
	}
}

/** Set a unit's proximity domain. An RHSA names the unit by its base, and may precede its DRHD. */
static void take_rhsa(struct moat_dmar *d, const uint8_t *s)
{
	if (get16(s) != TYPE_RHSA)
		return;
	for (unsigned int i = 0; i < d->nr_units; i++)
		if (d->unit[i].base == get64(s + 8))
			d->unit[i].proximity = get32(s + 16);
}

static void take(struct moat_dmar *d, const uint8_t *t, const struct round *r)
{
	struct moat_dmar_scope *next = d->scopes;

	d->haw = RTE_MIN(t[DMAR_HAW], 63) + 1;
	d->intr_remap = t[DMAR_FLAGS] & 1;
	d->x2apic_opt_out = t[DMAR_FLAGS] & 2;
	d->dma_opt_in = t[DMAR_FLAGS] & 4;
	for (unsigned int i = 0; i < r->parts; i++)
		take_structure(d, t, &r->part[i], &next);
	for (unsigned int i = 0; i < r->parts; i++)
		take_rhsa(d, t + r->part[i].at);
}

static struct moat_dmar *allocate(const struct round *r, size_t len)
{
	struct moat_dmar *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	/* One extra element each, because calloc() of 0 elements may return NULL. */
	d->table = malloc(len);
	d->scopes = calloc(r->scopes + 1, sizeof(*d->scopes));
	d->unit = calloc(r->of[TYPE_DRHD] + 1, sizeof(*d->unit));
	d->rmrr = calloc(r->of[TYPE_RMRR] + 1, sizeof(*d->rmrr));
	d->atsr = calloc(r->of[TYPE_ATSR] + 1, sizeof(*d->atsr));
	d->satc = calloc(r->of[TYPE_SATC] + 1, sizeof(*d->satc));
	d->sidp = calloc(r->of[TYPE_SIDP] + 1, sizeof(*d->sidp));
	d->andd = calloc(r->of[TYPE_ANDD] + 1, sizeof(*d->andd));
	if (!d->table || !d->scopes || !d->unit || !d->rmrr || !d->atsr || !d->satc || !d->sidp ||
		!d->andd) {
		moat_dmar_free(d);
		return NULL;
	}
	memcpy(d->table, r->t, len);
	d->nr_unknown = r->unknown;
	return d;
}

static void faults_free(struct moat_dmar_fault *fault, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		free(fault[i].text);
	free(fault);
}

int moat_dmar_parse(const void *table, size_t len, struct moat_dmar **dmar)
{
	struct round r = { .t = table };
	struct moat_dmar *d = NULL;
	int ret = check(&r, len);

	if (ret == 0) {
		d = allocate(&r, len);
		if (d == NULL)
			ret = moat_error(-ENOMEM, "no memory for the DMAR table");
	}
	if (ret == 0) {
		take(d, d->table, &r);
		d->fault = r.fault;
		d->nr_faults = r.faults;
		*dmar = d;
	} else {
		faults_free(r.fault, r.faults);
	}
	free(r.part);
	return ret;
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
	free(d->sidp);
	free(d->andd);
	faults_free(d->fault, d->nr_faults);
	free(d);
}

/** Read a whole file. @return 0, -ENOMEM, -EIO */
static int read_file(FILE *f, uint8_t **bytes, size_t *len)
{
	size_t room = 4096, n;

	*bytes = NULL;
	*len = 0;
	do {
		uint8_t *more = realloc(*bytes, room *= 2);

		if (more == NULL)
			return -ENOMEM;
		*bytes = more;
		n = fread(*bytes + *len, 1, room - *len, f);
		*len += n;
	} while (*len == room);
	return ferror(f) ? -EIO : 0;
}

int moat_dmar_load(const char *root, struct moat_dmar **dmar)
{
	char path[PATH_MAX];
	uint8_t *table;
	size_t len;
	FILE *f;
	int ret;

	snprintf(path, sizeof(path), "%s/sys/firmware/acpi/tables/DMAR", root != NULL ? root : "");
	f = fopen(path, "rb");
	if (f == NULL && errno == ENOENT)
		return moat_error(-ENOENT,
			"%s: there is no DMAR table: the machine has no VT-d, or VT-d is "
			"off in the firmware's settings",
			path);
	if (f == NULL)
		return moat_error(-errno, "%s: %s; only root can read it", path, strerror(errno));
	ret = read_file(f, &table, &len);
	fclose(f);
	ret = ret == 0 ? moat_dmar_parse(table, len, dmar)
		       : moat_error(ret, "%s: %s", path, strerror(-ret));
	free(table);
	return ret;
}
