#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
#
# suite: licence lines, columns, contracts, mutants, format, clang-tidy, cppcheck, shellcheck, the libraries' ABI
# needs: test
# limit: 1800

. tests/lib.sh

# files PATTERN...: the checkout's own, without build folders
files() {
	local pattern names=()

	for pattern; do
		names+=(-o -name "$pattern")
	done
	find . \( -path './build*' -o -path ./.git \) -prune -o -type f \( "${names[@]:1}" \) -print | sort
}

mapfile -t c_files < <(files '*.c' '*.h')
mapfile -t c_sources < <(files '*.c')
mapfile -t scripts < <(files '*.sh' && echo .ci/run)
mapfile -t all < <(files '*.c' '*.h' '*.sh' '*.py' 'meson*' '*.ini' '*.pml' '.clang-*' .editorconfig && echo .ci/run)

all_have_a_licence_line() {
	! grep -L 'SPDX-License-Identifier: BSD-3-Clause' "${all[@]}" | grep .
}

no_line_ends_in_white_space() {
	! grep -nE '[[:blank:]]$' "${all[@]}"
}

# A line with text for the user may be wider: a sentence is easier to find in one piece.
no_line_is_wider_than_100_columns() {
	local file status=0

	for file in "${c_files[@]}"; do
		expand -t 8 "$file" | awk -v file="$file" 'length > 100 && !/"/ {
			print file ":" NR ": error: " length " columns"
			bad = 1
		}
		END { exit bad }' || status=1
	done
	return "$status"
}

# The libraries against the ABI that the last release had, or against the stored one when there was none.
abi_is_compatible() {
	local library name status=0

	for library in build/lib/libmoat.so build/drivers/libmoat_units.so; do
		name=$(basename "$library" .so)
		tests/abi/dump "$library" >"$MOAT_LOGS/$MOAT_SUITE/$name.abi" || return
		xz -dc "tests/abi/$name.abi.xz" >"$MOAT_LOGS/$MOAT_SUITE/$name.old.abi" || return
		abidiff "$MOAT_LOGS/$MOAT_SUITE/$name.old.abi" "$MOAT_LOGS/$MOAT_SUITE/$name.abi"
		# bit 3: programs built against the old library would break
		[ $(($? & 8)) = 0 ] || {
			echo "$name: error: a program built before this change would break; undo that, or" \
				"raise the version and run tests/abi/store"
			status=1
		}
	done
	return "$status"
}

# Public headers are those of the include/ folders: all of them are installed, nothing else is, and none includes a
# private header.
only_public_headers_are_installed() {
	local installed public header name status=0

	installed=$(meson introspect --installed build | python3 -c '
import json, os, sys
print(*sorted(os.path.relpath(f) for f in json.load(sys.stdin) if f.endswith(".h")), sep="\n")')
	public=$(find lib/*/include drivers/*/include -name '*.h' | sort)
	diff <(echo "$installed") <(echo "$public") || {
		echo "error: < is installed and in no include/ folder, > is in one and not installed"
		status=1
	}
	for header in $public; do
		while read -r name; do
			grep -q "/$name\$" <<<"$public" || {
				echo "$header: error: includes $name, which is not installed"
				status=1
			}
		done < <(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$header")
	done
	return "$status"
}

# A mutant (tests/mutants) whose lines have changed would break nothing.
every_mutant_applies() {
	local patch status=0

	while read -r patch; do
		git apply --check "$patch" || status=1
		if [ "$(grep -cE '^(Broken|Program|Test): ' "$patch")" -lt 3 ]; then
			echo "$patch: error: its head must have Broken:, Program: and Test: lines"
			status=1
		fi
	done < <(find tests/mutants -name '*.patch')
	return "$status"
}

# The formats of clang-format's versions differ; 14, Debian 12's, is the one the files have.
clang_format=clang-format
! command -v clang-format-14 >/dev/null || clang_format=clang-format-14
formatted() {
	"$clang_format" --dry-run -Werror "${c_files[@]}"
}

tidy() {
	local compiled status=0

	# only what this build compiles: the others have no command line
	compiled=$(python3 -c '
import json, os
print(*{os.path.relpath(os.path.join(unit["directory"], unit["file"])) for unit in json.load(open("build/compile_commands.json"))}, sep="\n")')
	# The analyzer's own bound of 225,000 steps a function takes three times as long: MOAT_ANALYZER_STEPS=225000.
	tidy_some '^(lib|drivers|apps)/' --extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang \
		--extra-arg=max-nodes="${MOAT_ANALYZER_STEPS:-50000}" || status=1
	# the analyzer follows every path, minutes of them, and no cmocka assertion ends one for it
	tidy_some '^(tests|bench)/' '--checks=-clang-analyzer-*' || status=1
	return "$status"
}

# tidy_some PATTERN OPTION...
tidy_some() {
	local pattern=$1

	shift
	printf '%s\n' "${c_sources[@]#./}" | grep -xF "$compiled" | grep -E "$pattern" |
		nice xargs -P "$MOAT_JOBS" -n 2 clang-tidy --quiet -p build --extra-arg=-Wno-unknown-warning-option "$@"
}

check() {
	local include=(lib/*/ lib/*/include/ drivers/*/ drivers/*/include/)

	nice cppcheck --quiet -j "$MOAT_JOBS" --std=c11 --enable=warning,performance,portability \
		--inline-suppr --error-exitcode=1 --suppress=missingInclude --suppress=missingIncludeSystem \
		--library=bsd \
		--suppressions-list=tests/cppcheck.supp "${include[@]/#/-I}" "${c_sources[@]}"
}

t_run "every source has its licence line" all_have_a_licence_line
t_run "no line ends in white space" no_line_ends_in_white_space
t_run "no line is wider than 100 columns, text for the user apart" no_line_is_wider_than_100_columns
t_run "every mutant applies" every_mutant_applies
t_run "doc/specification.md is what its tests said" tests/specification/table check
t_run "every link of a page leads to a file and a heading" tools/check-links README.md CONTRIBUTING.md CHANGELOG.md doc/*.md
t_run "only public headers are installed" only_public_headers_are_installed
t_run "every public function's comment says what, parameters, errors, threads and path" \
	tools/check-contracts lib/*/include/*.h drivers/*/include/*.h
if ! command -v abidiff >/dev/null; then
	t_skip "the ABI is compatible with the stored one" "there is no abidiff; Debian has it in abigail-tools"
elif [ "$(cat tests/abi/made-on)" != "$(tests/abi/dump --system)" ]; then
	t_skip "the ABI is compatible with the stored one" \
		"it was stored on $(cat tests/abi/made-on), and this is $(tests/abi/dump --system)"
else
	t_run "the ABI is compatible with the stored one" abi_is_compatible
fi
case $("$clang_format" --version) in
*"version 14."*) t_run "clang-format changes nothing" formatted ;;
*) t_skip "clang-format changes nothing" \
	"the format is clang-format 14's, and here is $("$clang_format" --version); Debian 12 has it" ;;
esac
t_run "clang-tidy finds nothing" tidy
t_run "cppcheck finds nothing" check
t_run "shellcheck finds nothing" shellcheck -x -P . "${scripts[@]}"
