#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the cmocka programs under ThreadSanitizer
# limit: 2400

. tests/lib.sh
# tests/tsan_dpdk.h comes before each source: DPDK's rings and reference counts as ThreadSanitizer can see them
t_build build-tsan -Db_sanitize=thread -Db_lundef=false -Doptimization=g -Dbench=false \
	"-Dc_args=['-include','$PWD/tests/tsan_dpdk.h','-g1']"
export TSAN_OPTIONS=suppressions=$PWD/tests/tsan.supp:second_deadlock_stack=1
# gcc 12's runtime finds no room for its shadow memory where the kernel places mappings at more than
# 28 random bits
wrapper=()
[ "$(cat /proc/sys/vm/mmap_rnd_bits)" -le 28 ] || wrapper=(setarch -R)
# moat-doctor, and moat-fwd's start, run in one thread
# A quarter of the packets: each takes some thirty times as long here.
MOAT_PACKETS=25000 MOAT_SLOW=10 MOAT_WITHOUT=one-thread t_cmocka build-tsan unit "${wrapper[@]}"
# One lcore; several by hand, where the machine has nothing else to do: setting a round up takes seconds. Time says little
# here, where a burst may take a tenth of a second: the suite stress has the bound of stalls.
t_stress stress/tenant-one build-tsan 20 "$t_stress_one --bound 1000000" "${wrapper[@]}"
