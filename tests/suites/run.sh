#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: run.sh itself: the main job, the attack, and what is left behind when it is ended at any moment
# needs: run
# limit: 900

. tests/lib.sh
log=$MOAT_LOGS/$MOAT_SUITE/run.log
status=0
python3 tests/apps/run.py >"$log" 2>&1 || status=$?
cat "$log"
t_tap run.sh "$log" "$status"
