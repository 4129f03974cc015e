#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: the protocol of queue and ticket in every order of its steps, by spin; and with rules broken
# needs: test
# limit: 900

. tests/lib.sh

if ! command -v spin >/dev/null; then
	t_skip "the model" "spin is not installed; tools/setup.sh test installs it"
	exit 0
fi
model=$PWD/tests/model/ticket.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# search NAME OPTION...: 0: searched to the end, nothing found; 1: found something; else: no answer.
# What pan says stays in $work/NAME/out.
search() {
	local name=$1

	shift
	mkdir -p "$work/$name"
	cd "$work/$name" || return 2
	spin -a "$@" "$model" >spin.out 2>&1 || return 2
	cc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=3000 -o pan pan.c || return 2
	timeout -k 5 300 ./pan -m20000 >out 2>&1 || return 2
	# a search that was cut short proves nothing
	if grep -qE 'Search not completed|max search depth too small|truncated' out &&
		grep -q 'errors: 0' out; then
		return 2
	fi
	grep -q 'errors: 0' out
}

while read -r name find options; do
	status=0
	mutant=
	[ "$find" = nothing ] || mutant=-D$name
	# shellcheck disable=SC2086 # words
	(search "$name" $mutant $options) || status=$?
	tail -n 40 "$work/$name/out"
	found=$(sed -nE 's/^pan:1: (.*) \(at depth.*/\1/p' "$work/$name/out")
	states=$(awk '/states, stored/ { print $1 }' "$work/$name/out")
	case $find:$status:$found in
	nothing:0:) t_pass "$name: the invariant holds and no lcore waits for ever, in all of $states states" ;;
	assertion:1:assertion*) t_pass "$name breaks the invariant: $found" ;;
	end-state:1:invalid*) t_pass "$name makes an lcore wait for ever" ;;
	any:1:?*) t_pass "$name is noticed: $found" ;;
	*) t_fail "$name" "must find $find; found '$found', status $status, ${states:-no} states" ;;
	esac
done < <(sed '/^#/d; /^$/d' tests/model/runs)
