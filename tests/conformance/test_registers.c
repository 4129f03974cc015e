/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <string.h>

#include "registers.h"

struct raw raw;

#define LEGACY_REASON \
	"the specification: \"Fault Reason Encodings\", scalable mode has reasons of its own"

#define ZEROED "the specification: \"Fault Reason Encodings\", 59h is checked before other fields"

#define COMPATIBILITY "the specification: \"Interrupt Remapping Hardware Operation\""
#define NO_SOURCE \
	"the specification: \"Interrupt Remapping Hardware Operation\" verifies every request"

/**
 * Where a unit deviates from the specification. There must be no line for the software unit.
 */
static const struct deviation {
	const char *unit;
	const char *what;
	uint64_t does;
	const char *right; /* who is right, and the section that says so */
} deviations[] = {
	/* QEMU keeps the permission in its IOTLB and blocks the request, but records a fault only
	 * when it walks the tables. */
	{ "qemu", "read of a cached write-only page", 0,
		"the specification: \"Fault Conditions\" do not distinguish a walk from the IOTLB" },
	{ "qemu", "write to a cached read-only page", 0,
		"the specification: \"Fault Conditions\" do not distinguish a walk from the IOTLB" },
	/* In scalable mode QEMU's root and context entries and second stage have the reasons of
	 * legacy mode. */
	{ "qemu", "scalable root entry absent", 0x1, LEGACY_REASON },
	{ "qemu", "scalable root entry, bit 1", 0xa, LEGACY_REASON },
	{ "qemu", "scalable context entry absent", 0x2, LEGACY_REASON },
	{ "qemu", "scalable context entry, bit 5", 0xb, LEGACY_REASON },
	{ "qemu", "scalable context entry, bit 85", 0xb, LEGACY_REASON },
	{ "qemu", "scalable second stage, W clear", 0x5, LEGACY_REASON },
	{ "qemu", "scalable second stage, R clear", 0x6, LEGACY_REASON },
	{ "qemu", "scalable second stage, absent", 0x5, LEGACY_REASON },
	{ "qemu", "scalable second stage, reserved bit", 0xc, LEGACY_REASON },
	{ "qemu", "scalable second stage, beyond AW", 0x4, LEGACY_REASON },
	/* A PASID entry's other fields are checked before its P. */
	{ "qemu", "PASID entry all zero", 0x5b, ZEROED },
	{ "qemu", "PASID-cache invalidation 0", 0x5b, ZEROED },
	{ "qemu", "PASID-cache invalidation 1", 0x5b, ZEROED },
	{ "qemu", "PASID-cache invalidation 2", 0x5b, ZEROED },
	/* P is ignored while the context cache has the source; to block the source, the whole entry
	 * must be zeroed. */
	{ "qemu", "P cleared, PASID-cache invalidation 0", 0, ZEROED },
	{ "qemu", "P cleared, PASID-cache invalidation 1", 0, ZEROED },
	{ "qemu", "P cleared, PASID-cache invalidation 2", 0, ZEROED },
	{ "qemu", "PASID directory entry, bit 2", 0,
		"the specification: \"Fault Reason Encodings\", 52h" },
	{ "qemu", "PASID entry, bit 5", 0, "the specification: \"Fault Reason Encodings\", 5Ah" },
	{ "qemu", "PASID entry, bit 80", 0, "the specification: \"Fault Reason Encodings\", 5Ah" },
	/* A write that is translated by the IOTLB. */
	{ "qemu", "write, A and D", 0x20,
		"the specification: \"Accessed and Dirty Flags\": D is set by the first write" },
	/* with scalable-mode=on */
	{ "qemu", "SNP without SC", 0,
		"the specification: \"Second-Stage Paging Entries\": reserved without ECAP.SC" },
	/* QEMU has no CFI: compatibility format always passes. */
	{ "qemu", "CFI in GSTS", 0, "the specification: \"Global Command Register\", CFI" },
	{ "qemu", "compatibility format, no CFI", ARRIVED, COMPATIBILITY },
	{ "qemu", "compatibility format, EIME", ARRIVED, COMPATIBILITY },
	/* In QEMU an interrupt that a device raises by a DMA write has no source-id. */
	{ "qemu", "source-id of the fault record", 0xffff, NO_SOURCE },
	{ "qemu", "another source's entry", ARRIVED, NO_SOURCE },
	{ "qemu", "another source's entry, cached", ARRIVED, NO_SOURCE },
	{ "qemu", "SQ, another device", ARRIVED, NO_SOURCE },
	{ "qemu", "SVT by bus, another bus", ARRIVED, NO_SOURCE },
	{ "qemu", "IRTE DST beyond xAPIC", ARRIVED,
		"the specification: \"Interrupt Remapping Table Entry\", DST in xAPIC mode" },
	{ 0 },
};

void conform(const char *what, uint64_t got, uint64_t specified)
{
	if (got == specified)
		return;
	for (const struct deviation *d = deviations; d->unit != NULL; d++) {
		if (strcmp(d->unit, rig_traits.unit) != 0 || strcmp(d->what, what) != 0 ||
			d->does != got)
			continue;
		print_message("# %s deviates: %s: 0x%" PRIx64 ", specified 0x%" PRIx64 " (%s)\n",
			d->unit, what, got, specified, d->right);
		return;
	}
	fail_msg("%s: %s: 0x%" PRIx64 ", specified 0x%" PRIx64, rig_traits.unit, what, got,
		specified);
}

void unit_lacks(const char *why)
{
	print_message("skip: the unit lacks it: %s\n", why);
	skip();
}

static int fresh(void **state)
{
	raw_fresh(&raw);
	return 0;
}

static int down(void **state)
{
	raw_down(&raw);
	return 0;
}

static int up(void **state)
{
	raw_up(&raw);
	return 0;
}

static bool has_scalable_mode(void)
{
	struct moat_vtd_conf conf;
	struct moat_vtd_caps caps;

	rig_conf(&conf);
	return moat_vtd_caps_read(&conf.window, &caps) == 0 && caps.smts;
}

int main(int argc, char **argv)
{
#define REGISTER_LIST(name)  cmocka_unit_test_setup(name, fresh),
#define REGISTER_COUNT(name) +1
	const struct CMUnitTest tests[] = { REGISTER_TESTS(REGISTER_LIST)
			SCALABLE_TESTS(REGISTER_LIST) };
	size_t n = RTE_DIM(tests);
	int failed;

	rig_open(argc > 1 ? argv[1] : NULL);
	if (!has_scalable_mode()) {
		n = REGISTER_TESTS(REGISTER_COUNT);
		print_message("# lacks: scalable mode: ECAP.SMTS is clear\n");
	}
	failed = _cmocka_run_group_tests(rig_traits.name, tests, n, up, down);
	rig_close();
	return failed;
}
