#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: each fuzzer (libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer) on its corpus and for some seconds
# needs: test
# limit: 900

. tests/lib.sh
CC=clang t_build build-fuzz -Dfuzz=true -Db_lundef=false -Dbench=false
export UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS=quarantine_size_mb=4:malloc_context_size=8 # small: more executions a second
found=$MOAT_LOGS/$MOAT_SUITE/corpus
seconds=${MOAT_SECONDS:-10} # for each fuzzer

for fuzzer in build-fuzz/tests/fuzz/fuzz_*; do
	[ -f "$fuzzer" ] || continue
	name=${fuzzer##*/fuzz_}
	mkdir -p "$found/$name"
	t_run "$name" "$fuzzer" -max_total_time="$seconds" -max_len=1024 -print_final_stats=1 \
		-artifact_prefix="$MOAT_LOGS/$MOAT_SUITE/$name-" "$found/$name" "build-fuzz/tests/fuzz/corpora/$name"
done
