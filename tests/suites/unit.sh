#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: every cmocka program of tests/, as built
# limit: 900

. tests/lib.sh
t_cmocka build unit
t_run "doc/example/forward.c has at most 60 lines" test "$(wc -l <doc/example/forward.c)" -le 60
