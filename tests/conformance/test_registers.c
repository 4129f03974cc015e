/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <string.h>

#include "registers.h"

struct raw raw;

/**
 * Where a unit does not do what the specification says. The software unit must have no line here.
 */
static const struct deviation {
	const char *unit;
	const char *what;
	uint64_t does;
	const char *right; /* who is, by which section */
} deviations[] = {
	/* QEMU keeps the permission in its IOTLB and blocks by it, but records a fault only when it
	 * walks. */
	{ "qemu", "read of a cached write-only page", 0,
		"the specification: \"Fault Conditions\" know no difference between a walk and the IOTLB" },
	{ "qemu", "write to a cached read-only page", 0,
		"the specification: \"Fault Conditions\" know no difference between a walk and the IOTLB" },
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

int main(int argc, char **argv)
{
#define REGISTER_LIST(name) cmocka_unit_test_setup(name, fresh),
	const struct CMUnitTest tests[] = { REGISTER_TESTS(REGISTER_LIST) };
	int failed;

	rig_open(argc > 1 ? argv[1] : NULL);
	failed = cmocka_run_group_tests_name(rig_traits.name, tests, up, down);
	rig_close();
	return failed;
}
