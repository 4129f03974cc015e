#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""moat-perf --baseline and moat-perf-compare: equal runs compare as equal, a slower stage is named, noise is not.

usage: compare.py MOAT-PERF MOAT-PERF-COMPARE SLOW-MAP.so WORK-FOLDER

Prints TAP. These are the only tests that compare times: as the ratio to a reference that is timed in the same run, and
as medians of 21 repeats. A comparison that other load may have spoilt is repeated.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import tap

PROGRAM, COMPARE, SLOW, WORK = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
SWEEP = ('--mode', 'strict,pipelined', '--batch', '32', '--seconds', '0.05', '--repeat', '21')


def measure(name, slow=None, options=(), status=(0,)):
    path = WORK / name
    env = dict(os.environ)
    if slow is not None:
        env.update(LD_PRELOAD=SLOW, MOAT_SLOW_MAP=str(slow))
    p = subprocess.run([PROGRAM, *SWEEP, *options, '--json', str(path)], capture_output=True, text=True, timeout=200,
                       env=env)
    assert p.returncode in status, f'status {p.returncode}: {p.stderr or p.stdout}'
    return path, p.stdout


def compare(*files, options=()):
    return subprocess.run([sys.executable, COMPARE, *options, *map(str, files)], capture_output=True, text=True,
                          timeout=60)


def results(*repeats, reclaim=1, **keys):
    """@return a result of one case, from a pair for each repeat: cycles of `map`, and the machine's slowness as a
    factor."""
    def one(cycles, speed):
        values = dict(map=cycles, translate=0, unmap=20, submit=8, wait=8, reclaim=reclaim, copy=0)
        values['total'] = sum(values.values())
        return dict({name: value * speed for name, value in values.items()}, reference=1000 * speed)

    case = dict(sweep='', test='map', unit=dict(name='soft', kind='soft', args=''), mode='strict', batch=32, page=4096,
                repeats=[one(*repeat) for repeat in repeats])
    case.update(keys)
    case['stages'] = case['repeats'][0]
    return {'moat-perf': '0', 'cases': [case]}


def files(*contents):
    paths = []
    for i, content in enumerate(contents):
        path = WORK / f'made{i}.json'
        path.write_text(json.dumps(content))
        paths.append(path)
    return paths


QUIET = [(30 + i % 3 * 0.2, 1.0) for i in range(7)]


# ------------------------------------------------------------------------------- with made numbers

def a_stage_that_is_slower_is_named_with_its_cycles():
    p = compare(*files(results(*QUIET), results(*[(cycles * 1.2, 1) for cycles, _ in QUIET])))
    assert p.returncode == 3, p
    assert p.stdout.splitlines() == [
        'test map, unit soft, strict:',
        '  map: 30.2 -> 36.2 cycles, 20 % slower (noise 5 %)',
        '  total: 67.2 -> 73.2 cycles, 9 % slower (noise 5 %)',
        '1 cases compared: slower: map'], p.stdout


def a_stage_that_is_faster_is_no_failure():
    p = compare(*files(results(*[(cycles * 1.2, 1) for cycles, _ in QUIET]), results(*QUIET)))
    assert p.returncode == 0 and 'cases compared: faster: map' in p.stdout, p


def a_total_that_is_slower_counts_where_no_stage_is_beyond_its_noise():
    before = results(*[(30 + 3 * (i % 2), 1.0) for i in range(7)])
    for i, repeat in enumerate(before['cases'][0]['repeats']):
        repeat.update(unmap=20 - 3 * (i % 2), total=67)
    after = json.loads(json.dumps(before))
    for repeat in after['cases'][0]['repeats']:
        repeat.update({name: value * 1.08 for name, value in repeat.items() if name != 'reference'})
    p = compare(*files(before, after))
    assert p.returncode == 3 and p.stdout.endswith('cases compared: slower: total\n'), p


def a_machine_that_was_slower_as_a_whole_is_no_difference():
    p = compare(*files(results(*QUIET), results(*[(cycles, 1.5) for cycles, _ in QUIET])))
    assert p.returncode == 0 and p.stdout.endswith('1 cases compared: nothing differs\n'), p


def what_is_within_the_noise_is_no_difference():
    noisy = [(30 + 20 * (i % 2), 1.0) for i in range(7)]
    p = compare(*files(results(*noisy), results(*[(cycles * 1.2, 1) for cycles, _ in noisy])))
    assert p.returncode == 0 and 'nothing differs' in p.stdout, p


def differs(before, after):
    """@return whether the comparison finds that something is slower or faster."""
    p = compare(*files(before, after))
    assert (p.returncode, 'nothing differs' in p.stdout) in ((0, True), (3, False)), p
    return p.returncode == 3


def both_the_cycles_and_their_ratio_to_the_reference_must_differ():
    quiet = results(*QUIET)
    assert differs(quiet, results(*[(cycles * 1.2, 1) for cycles, _ in QUIET]))
    # a machine that is 15 % slower: of the 20 % only 4 % are the program's
    assert not differs(quiet, results(*[(cycles * 1.04, 1.15) for cycles, _ in QUIET]))
    # slower by the clock but faster by the reference, and vice versa
    assert not differs(quiet, results(*[(cycles * 0.8, 1.5) for cycles, _ in QUIET]))
    assert not differs(quiet, results(*[(cycles * 1.2, 0.67) for cycles, _ in QUIET]))


def the_noisier_of_the_two_decides():
    speeds = [1.0, 1.5] * 3 + [1.0]  # the ratio to the reference does not vary
    assert not differs(results(*[(30, speed) for speed in speeds]), results(*[(33, speed) for speed in speeds]))


def more_repeats_see_less():
    """Quartiles 3 cycles apart: with 7 repeats differences from 15 % on are found, with 21 from 9 % on."""
    for n, seen in (7, False), (21, True):
        noisy = [30 + 3 * (i % 2) for i in range(n)]
        assert differs(results(*[(cycles, 1) for cycles in noisy]),
                       results(*[(cycles * 1.12, 1) for cycles in noisy])) == seen, n


def a_small_part_of_the_total_is_no_difference():
    assert not differs(results(*QUIET), results(*QUIET, reclaim=1.5))  # half a cycle of 67 is less than 2 %
    assert differs(results(*QUIET), results(*QUIET, reclaim=3))


def cases_are_matched_by_what_was_asked_for():
    small, large = results(*QUIET), results(*QUIET, page=2 << 20)
    failed = {'moat-perf': '0', 'cases': [dict(large['cases'][0], error='no such leaves')]}
    del failed['cases'][0]['repeats'], failed['cases'][0]['stages']
    for second, says in ((large, '2 cases compared: nothing differs\n'),
                         (failed, '1 cases are in one of the files only\n1 cases compared: nothing differs\n')):
        p = compare(*files({**small, 'cases': small['cases'] + large['cases']},
                           {**small, 'cases': small['cases'] + second['cases']}))
        assert p.returncode == 0 and p.stdout.endswith(says), p


def cases_that_differ_in_one_key_are_compared_across_it():
    p = compare(*files(results(*QUIET), results(*[(cycles * 1.2, 1) for cycles, _ in QUIET], mode='copy')),
                options=('--across', 'mode'))
    assert p.returncode == 3 and p.stdout.startswith('mode: strict -> copy\ntest map, unit soft, strict:\n  map: '), p
    assert p.stdout.endswith('1 cases compared: slower: map\n'), p


def what_was_measured_once_needs_a_quarter():
    p = compare(*files(results((30, 1)), results((36, 1))))
    assert p.returncode == 0 and 'measured less than three times: 25 % are taken for noise' in p.stdout, p
    p = compare(*files(results((30, 1)), results((60, 1))))
    assert p.returncode == 3, p


def files_that_cannot_be_compared_are_refused_with_the_reason():
    wrong = WORK / 'wrong.json'
    wrong.write_text('{"cases": 3}')
    first, second = results(*QUIET), results(*QUIET, mode='copy')
    right, other, both, empty, mixed = files(first, second, results(*QUIET, mode='copy', page=2 << 20), {'cases': []},
                                             {'cases': first['cases'] + second['cases']})
    for arguments, says in (
            ((right, WORK / 'none.json'), 'none.json: No such file or directory'),
            ((right, wrong), 'wrong.json is not a result of moat-perf --json: TypeError'),
            ((right, other), f'moat-perf-compare: {right} and {other} have no case in common: the nearest ones differ in '
                             'mode: strict / copy; try --across mode\n'),
            ((right, both), 'the nearest ones differ in mode: strict / copy, page: 4096 / 2097152; measure both with the '
                            'same values of all but one, and compare with --across\n'),
            ((right, empty), 'have no case in common: one of them has no case that was measured\n'),
            (('--across', 'mood', right, other), '--across mood: there is no such key; there are unit, args, test, mode,'),
            (('--across', 'mode', right, mixed), ' has several values of mode (copy, strict): --across needs one in each '),
            ((right,), 'usage: moat-perf-compare [--all] [--across KEY] A.json B.json')):
        p = compare(*arguments)
        assert p.returncode == 2 and says in p.stderr and not p.stdout, (arguments, p)


# ------------------------------------------------------------------------------- with measured ones

def every_repeat_of_every_case_is_kept():
    path, _ = measure('kept.json', options=('--repeat', '3', '--seconds', '0.02'))
    for case in json.loads(path.read_text())['cases']:
        assert len(case['repeats']) == 3, case
        totals = sorted(repeat['total'] for repeat in case['repeats'])
        assert case['stages']['total'] == totals[1], (case['stages'], totals)
        assert all(repeat['reference'] > 0 for repeat in case['repeats']), case


def the_same_sweep_twice_compares_as_equal():
    p = None
    for _ in range(2):
        before, _ = measure('before.json')
        after, _ = measure('after.json')
        p = compare(before, after, options=('--all',))
        print(''.join(f'# {line}\n' for line in p.stdout.splitlines()), end='')
        if p.returncode == 0 and 'nothing differs' in p.stdout:
            return
    assert False, p.stdout


def a_map_that_is_a_fifth_slower_is_named():
    p = None
    for _ in range(4):
        before, _ = measure('before.json', slow=0)  # loads the library, too, so that calls cost the same
        after, _ = measure('slow.json', slow=20)
        p = compare(before, after)
        print(''.join(f'# {line}\n' for line in p.stdout.splitlines()), end='')
        if p.returncode == 3 and p.stdout.endswith('slower: map\n'):
            return
        assert p.returncode in (0, 3), p
    assert False, p.stdout


def a_run_is_compared_with_its_baseline():
    text = ''
    for _ in range(4):
        before, _ = measure('before.json', slow=0)
        _, text = measure('slow.json', slow=50, options=('--baseline', str(before)), status=(0, 3))
        if text.endswith('2 cases compared: slower: map\n'):
            break
    assert text.endswith('2 cases compared: slower: map\n'), text
    p = subprocess.run([PROGRAM, '--baseline', 'none.json'], capture_output=True, text=True)
    assert p.returncode == 2 and not p.stdout, p
    assert p.stderr == 'moat-perf: --baseline none.json cannot be read: No such file or directory\n', p
    p = subprocess.run([PROGRAM, '--repeat', 'often'], capture_output=True, text=True)
    assert p.returncode == 2, p
    assert p.stderr == 'moat-perf: --repeat often is not a number of times; write 1 to 1000\n', p


TESTS = [
    a_stage_that_is_slower_is_named_with_its_cycles,
    a_stage_that_is_faster_is_no_failure,
    a_total_that_is_slower_counts_where_no_stage_is_beyond_its_noise,
    a_machine_that_was_slower_as_a_whole_is_no_difference,
    what_is_within_the_noise_is_no_difference,
    both_the_cycles_and_their_ratio_to_the_reference_must_differ,
    the_noisier_of_the_two_decides,
    more_repeats_see_less,
    a_small_part_of_the_total_is_no_difference,
    cases_are_matched_by_what_was_asked_for,
    cases_that_differ_in_one_key_are_compared_across_it,
    what_was_measured_once_needs_a_quarter,
    files_that_cannot_be_compared_are_refused_with_the_reason,
    every_repeat_of_every_case_is_kept,
    the_same_sweep_twice_compares_as_equal,
    a_map_that_is_a_fifth_slower_is_named,
    a_run_is_compared_with_its_baseline,
]

if __name__ == '__main__':
    WORK.mkdir(parents=True, exist_ok=True)
    tap.main(TESTS)
