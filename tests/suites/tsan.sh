#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the cmocka programs under ThreadSanitizer
# limit: 1800

. tests/lib.sh
# fences are invisible to it, as gcc says of each; what is ordered by one alone is in tests/tsan.supp
t_build build-tsan -Db_sanitize=thread -Db_lundef=false -Doptimization=1 -Dbench=false -Dc_args=-Wno-tsan
export TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp:second_deadlock_stack=1
# gcc 12's runtime finds no room for its shadow memory where the kernel places mappings at more than
# 28 random bits
wrapper=()
[ "$(cat /proc/sys/vm/mmap_rnd_bits)" -le 28 ] || wrapper=(setarch -R)
MOAT_SLOW=10 t_cmocka build-tsan unit "${wrapper[@]}"
t_stress build-tsan 10 "${wrapper[@]}"
