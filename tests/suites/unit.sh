#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: every cmocka program of tests/, as built
# limit: 900

. tests/lib.sh
t_cmocka build unit

exports_are_ours() {
	local library status=0

	while read -r library; do
		nm -D --defined-only "$library" >"$MOAT_LOGS/$MOAT_SUITE/symbols" || return
		# the plugin with the mempool ops has drivers/memzone's definitions as well
		awk -v library="$library" '$3 !~ /^moat_/ && !($3 ~ /^rte_memzone_/ && library ~ /mempool/) { print library ": error: " $3 " is exported"; bad = 1 }
			END { exit bad }' "$MOAT_LOGS/$MOAT_SUITE/symbols" || status=1
	done < <(find build/lib build/drivers -name 'lib*.so*' -type f -not -path '*.p/*')
	return "$status"
}
installed_headers() {
	meson introspect --installed build | python3 -c '
import json, sys
print(*(f for f in json.load(sys.stdin) if f.endswith(".h") and not f.endswith("moat_net.h")), sep="\n")'
}
mapfile -t headers < <(installed_headers)
t_run "every installed header marks what it exports" tools/check-exports "${headers[@]}"
t_run "the libraries export only moat_ names, and the mempool plugin rte_memzone_ ones too" exports_are_ours

# moat_device.h: with pkg-config's flags moat sees memzones, wherever DPDK's libraries stand; with libmoat
# alone it does not, and says so.
sees_memzones() {
	local lib=${2%/pkgconfig/*} warning='moat does not see the rings that DPDK.s PMDs reserve and free' dpdk flags

	dpdk=$(pkg-config --libs libdpdk) || return
	flags=$(PKG_CONFIG_PATH=${2%/*} pkg-config --cflags --libs moat) || return
	run() { # PROGRAM; its log
		LD_LIBRARY_PATH=$lib "$1" --no-huge -m 256 --no-pci --no-shconf --no-telemetry --vdev=net_null0 \
			-d "$lib/dpdk-moat/librte_net_moat.so" -d "$lib/dpdk-moat/librte_mempool_moat.so" 2>&1
	}
	# shellcheck disable=SC2001,SC2046,SC2086 # words
	cc -O2 doc/example/forward.c -o "$1/first" $flags &&
		cc -O2 doc/example/forward.c -o "$1/last" -Wl,--no-as-needed $dpdk $flags &&
		cc -O2 doc/example/forward.c -o "$1/without" $(sed 's/-Wl,--whole-archive.*-Wl,--no-whole-archive//' <<<"$flags") &&
		! run "$1/first" | grep "$warning" && ! run "$1/last" | grep "$warning" &&
		run "$1/without" | grep "$warning"
}

# versions PROGRAM: names itself, the libraries and the instruction sets in use.
versions() {
	local text

	text=$("$1" --version) || return
	echo "$text"
	grep -q "DPDK $(pkg-config --modversion libdpdk), liburcu [0-9]" <<<"$text" &&
		grep -qE 'look-ups in bulk with (scalar|sse4.2|avx2|avx512), runs .* with (scalar|avx2|avx512)$' <<<"$text"
}
for program in fwd doctor perf; do
	t_run "moat-$program --version names DPDK, liburcu and instruction sets" versions "build/apps/$program/moat-$program"
done

# README's lines on a program of one's own, with moat installed below a folder that only we may write to
# (DPDK loads no plugin from another).
own_program() {
	local folder status=0

	mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}"
	folder=$(mktemp -d "${XDG_CACHE_HOME:-$HOME/.cache}/moat-unit.XXXXXX") || return
	{
		meson install -C build --no-rebuild --quiet --destdir "$folder" &&
			pc=$(find "$folder" -name moat.pc) && sed -i "s,^prefix=,&$folder," "$pc" &&
			tools/check-links "$(dirname "$(find "$folder" -name glossary.md)")"/*.md &&
			ln -s "$PWD/doc" "$folder/doc" &&
			sed -n '/^    cc /,/^$/s/^    //p' README.md |
			sed "s/--no-pci/& --no-shconf --no-telemetry/" >"$folder/lines" &&
			(cd "$folder" && PKG_CONFIG_PATH=${pc%/*} LD_LIBRARY_PATH=${pc%/pkgconfig/*} sh -ex lines) &&
			sees_memzones "$folder" "$pc"
	} || status=$?
	rm -rf "$folder"
	return "$status"
}
if [ -e build/drivers/net/librte_net_moat.so ]; then
	t_run "README's lines build and run the example with an installed moat" own_program
else
	t_skip "README's lines build and run the example with an installed moat" "this build has no net_moat"
fi
