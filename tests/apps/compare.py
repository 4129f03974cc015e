#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""moat-perf --baseline and moat-perf-compare: the same is equal, what is slower is named, noise is not.

usage: compare.py MOAT-PERF MOAT-PERF-COMPARE SLOW-MAP.so WORK-FOLDER

Prints TAP. Times are compared here, and nowhere else in the tests: the ratio to a reference that is timed beside
them, medians of 21 repeats. A comparison that could be a neighbour's doing is made twice.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import tap

PROGRAM, COMPARE, SLOW, WORK = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
SWEEP = ('--mode', 'strict,pipelined', '--batch', '32', '--seconds', '0.05', '--repeat', '21')


def measure(name, slow=None, options=(), status=0):
    path = WORK / name
    env = dict(os.environ)
    if slow is not None:
        env.update(LD_PRELOAD=SLOW, MOAT_SLOW_MAP=str(slow))
    p = subprocess.run([PROGRAM, *SWEEP, *options, '--json', str(path)], capture_output=True, text=True, timeout=200,
                       env=env)
    assert p.returncode == status, f'status {p.returncode}: {p.stderr or p.stdout}'
    return path, p.stdout


def compare(*files, options=()):
    return subprocess.run([sys.executable, COMPARE, *options, *map(str, files)], capture_output=True, text=True,
                          timeout=60)


def results(*repeats, mode='strict', **stages):
    """A result of one case: repeats of `map`, everything else the same; a machine's speed as a factor."""
    def one(cycles, speed):
        values = dict(map=cycles, translate=0, unmap=20, submit=8, wait=8, reclaim=1, copy=0, **stages)
        values['total'] = sum(values.values())
        return dict({name: value * speed for name, value in values.items()}, reference=1000 * speed)

    case = dict(sweep='', test='map', unit=dict(name='soft', kind='soft', args=''), mode=mode, batch=32, page=4096,
                repeats=[one(*repeat) for repeat in repeats])
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


def a_machine_that_was_slower_as_a_whole_is_no_difference():
    p = compare(*files(results(*QUIET), results(*[(cycles, 1.5) for cycles, _ in QUIET])))
    assert p.returncode == 0 and p.stdout.endswith('1 cases compared: nothing differs\n'), p


def what_is_within_the_noise_is_no_difference():
    noisy = [(30 + 20 * (i % 2), 1.0) for i in range(7)]
    p = compare(*files(results(*noisy), results(*[(cycles * 1.2, 1) for cycles, _ in noisy])))
    assert p.returncode == 0 and 'nothing differs' in p.stdout, p


def what_was_measured_once_needs_a_quarter():
    p = compare(*files(results((30, 1)), results((36, 1))))
    assert p.returncode == 0 and 'measured less than three times: 25 % are taken for noise' in p.stdout, p
    p = compare(*files(results((30, 1)), results((60, 1))))
    assert p.returncode == 3, p


def files_that_cannot_be_compared_are_refused_with_the_reason():
    wrong = WORK / 'wrong.json'
    wrong.write_text('{"cases": 3}')
    right, other = files(results(*QUIET), results(*QUIET, mode='copy'))
    for arguments, says in (
            ((right, WORK / 'none.json'), 'none.json: No such file or directory'),
            ((right, wrong), 'wrong.json is not a result of moat-perf --json: TypeError'),
            ((right, other), 'have no case in common: none was asked for with the same values in both'),
            ((right,), 'usage: moat-perf-compare [--all] A.json B.json')):
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
    for _ in range(2):
        before, _ = measure('before.json', slow=0)  # the same way to the call, for both
        after, _ = measure('slow.json', slow=4)
        p = compare(before, after)
        print(''.join(f'# {line}\n' for line in p.stdout.splitlines()), end='')
        if p.returncode == 3 and p.stdout.endswith('slower: map\n'):
            return
    assert False, p.stdout


def a_run_is_compared_with_its_baseline():
    before, _ = measure('before.json', slow=0)
    _, text = measure('slow.json', slow=2, options=('--baseline', str(before)), status=3)
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
    a_machine_that_was_slower_as_a_whole_is_no_difference,
    what_is_within_the_noise_is_no_difference,
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
