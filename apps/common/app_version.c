/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* The output of --version. */

#include <stdio.h>

#include <rte_version.h>

#include "app_version.h"
#include "moat_iotlb.h"
#include "moat_pt.h"

void app_version(const char *program)
{
	printf("%s " MOAT_VERSION "\n"
	       "%s, liburcu " MOAT_URCU_VERSION "\n"
	       "look-ups in bulk with %s, runs of page-table entries with %s\n",
		program, rte_version(), moat_iotlb_isa(), moat_pt_isa());
}
