#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the software unit against QEMU's on random tables, without a guest
# needs: lab
# limit: 900

. tests/lib.sh
cases=${MOAT_CASES:-2000} # of each configuration
for configuration in 48 39 48-caching-mode 48-device-tlb 48-snoop-control; do
	t_run "$configuration" build/tests/differential/differential --cases "$cases" \
		${MOAT_SEED:+--seed "$MOAT_SEED"} "$configuration"
done
