#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the cmocka programs under AddressSanitizer and UndefinedBehaviorSanitizer
# limit: 1800

. tests/lib.sh
# -Og and -g1 compile in two thirds of the time that -O1 and -g take, and the tests take as long.
t_build build-asan -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=g -Dbench=false \
	"-Dc_args=['-fno-sanitize-recover=all','-g1']"
export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
MOAT_SLOW=5 t_cmocka build-asan unit
t_stress stress/tenant-one build-asan 10 "$t_stress_one"
