#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: in a guest with a VT-d unit and NICs (QEMU): the driver, isolation, moat-fwd, and the lab itself
# needs: lab lab11
# limit: 2100

. tests/lib.sh
# Twice at most: the guest's processors are emulated, and on a busy machine frames have stood still for minutes, seldom.
MOAT_TRIES=2 t_cmocka build qemu

# The logs of the conformance programs, those that ran here, against what doc/specification.md is made of.
if grep -q '^ok' "$MOAT_LOGS/$MOAT_SUITE"/qemu-conformance-qemu1*.log; then
	t_run "doc/specification.md says what these tests say" tests/specification/table compare "$MOAT_LOGS/$MOAT_SUITE"
fi
