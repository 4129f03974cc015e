/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * The DMAR table and PCI configuration space, with any content that firmware and devices may give
 * them.
 *
 * The machine has the functions in `sids`. For each, the input has the length of its configuration
 * space (16 bits) and its bytes; then follow a byte of flags and the DMAR table. With flag 1 the
 * table's signature, length and checksum are corrected, so that the fuzzer need not find them.
 */

#include <errno.h>

#include "fuzz_input.h"
#include "moat_vtd_dmar.h"

#define SEAL 1

/* In this order; the last function is a virtual function of the one before it. */
static const moat_sid_t sids[] = { MOAT_SID(0, 0, 0), MOAT_SID(0, 1, 0), MOAT_SID(0, 0x1c, 0),
	MOAT_SID(1, 0, 0), MOAT_SID(2, 0, 0), MOAT_SID(2, 0, 1) };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return 0;
}

/* ------------------------------------------------------------------------------- the machine */

/* The configuration space of a function, as far as the input has it. */
static ssize_t read_space(void *ctx, void *to, size_t len, size_t offset)
{
	const struct fuzz_input *space = ctx;
	size_t n = offset < space->left ? RTE_MIN(len, space->left - offset) : 0;

	if (n != 0)
		memcpy(to, space->at + offset, n);
	return n;
}

static void take_function(struct fuzz_input *in, moat_sid_t sid, struct moat_pci *pci)
{
	struct fuzz_input space = { .left = RTE_MIN(fuzz_take16(in) % UINT64_C(4097), in->left) };
	struct moat_pci_fn *fn = &pci->fn[pci->n];

	space.at = in->at;
	in->at += space.left;
	in->left -= space.left;
	*fn = (struct moat_pci_fn){ .sid = sid, .physfn = sid };
	if (sid == sids[RTE_DIM(sids) - 1]) {
		fn->virtfn = true;
		fn->physfn = sids[RTE_DIM(sids) - 2];
	}
	pci->n += moat_pci_decode(fn, read_space, &space);
}

/* --------------------------------------------------------------------------------- the table */

/* @return the rest of the input, in memory of exactly its size */
static uint8_t *make_table(struct fuzz_input *in, size_t *len)
{
	bool seal = fuzz_take8(in) & SEAL;
	uint8_t *table = malloc(in->left);
	uint8_t sum = 0;

	*len = in->left;
	if (*len == 0)
		return table;
	memcpy(table, in->at, *len);
	if (seal && *len >= 48) {
		uint32_t length = *len;

		memcpy(table, "DMAR", 4);
		memcpy(table + 4, &length, sizeof(length));
		table[9] = 0;
		for (size_t i = 0; i < *len; i++)
			sum += table[i];
		table[9] = -sum;
	}
	return table;
}

static void check_text(const struct moat_dmar *dmar)
{
	int whole = moat_dmar_text(dmar, NULL, 0);
	char part[100];
	char *text = malloc(whole + 1);

	fuzz_check(moat_dmar_text(dmar, text, whole + 1) == whole);
	fuzz_check(strlen(text) == (size_t)whole);
	fuzz_check(moat_dmar_text(dmar, part, sizeof(part)) == whole);
	free(text);
}

static void check_function(const struct moat_dmar *dmar, const struct moat_pci *pci,
	uint16_t segment, moat_sid_t sid)
{
	int unit = moat_dmar_unit_of(dmar, pci, segment, sid);

	fuzz_check(unit == -ENODEV || (unit >= 0 && unit < (int)dmar->nr_units));
	fuzz_check(unit < 0 || dmar->unit[unit].segment == segment);
	moat_dmar_rmrr_of(dmar, pci, segment, sid);
	moat_dmar_allows_ats(dmar, pci, segment, sid);
}

static void check_aliases(const struct moat_pci *pci, moat_sid_t sid)
{
	moat_sid_t alias[4];

	for (unsigned int max = 1; max <= RTE_DIM(alias); max++)
		fuzz_check(moat_pci_aliases(pci, 0, sid, alias, max) >= 1 && alias[0] == sid);
}

static void look_at(const struct moat_dmar *dmar, const struct moat_pci *pci)
{
	for (unsigned int i = 0; i < pci->n; i++) {
		const struct moat_pci_fn *fn = &pci->fn[i];

		fuzz_check(moat_pci_find(pci, fn->segment, fn->sid) == fn);
		check_aliases(pci, fn->sid);
		for (unsigned int k = 0; k < pci->n; k++)
			moat_pci_isolated(pci, fn->segment, fn->sid, pci->fn[k].sid);
		if (dmar != NULL)
			check_function(dmar, pci, fn->segment, fn->sid);
	}
	if (dmar == NULL)
		return;
	check_function(dmar, pci, 0, MOAT_SID(5, 3, 1)); /* a function that does not exist */
	check_function(dmar, pci, 7, MOAT_SID(0, 1, 0));
	for (unsigned int i = 0; i < dmar->nr_units; i++)
		for (unsigned int k = 0; k < dmar->unit[i].scopes.n; k++) {
			const struct moat_dmar_scope *s = &dmar->unit[i].scopes.scope[k];

			moat_pci_follow(pci, dmar->unit[i].segment, s->bus, s->path, s->nr_path);
		}
	check_text(dmar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct moat_dmar *dmar = NULL;
	struct moat_pci_fn fns[RTE_DIM(sids)];
	struct moat_pci pci = { .fn = fns };
	uint8_t *table;
	size_t len;

	for (unsigned int i = 0; i < RTE_DIM(sids); i++)
		take_function(&in, sids[i], &pci);
	table = make_table(&in, &len);
	if (moat_dmar_parse(table, len, &dmar) != 0)
		fuzz_check(dmar == NULL && moat_error_text()[0] != '\0');
	free(table); /* the parser must keep no pointer into it */
	look_at(dmar, &pci);
	moat_dmar_free(dmar);
	return 0;
}
