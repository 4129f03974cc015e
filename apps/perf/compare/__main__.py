#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Print what differs between two results of moat-perf --json, beyond their noise.

usage: moat-perf-compare [--all] [--across KEY] A.json B.json

A is the baseline. Cases are matched by their keys. A stage differs if the medians of its repeats differ by more than
three standard errors of both, 5 %, and 2 % of the case's total. This must be true of the cycles, and (but for the 2 %)
of their ratio to a fixed piece of work that was timed beside them, so that a slower machine makes no difference. --all
prints stages that do not differ, too.

--across KEY compares cases that differ in that key, which must have one value in each file: for example --across mode
for a result with --mode strict and one with --mode pipelined.

Exit status: 0 nothing is slower, 3 something is, 2 the files cannot be compared.
"""

import json
import math
import sys
from statistics import median, quantiles

STAGES = ('map', 'translate', 'unmap', 'submit', 'wait', 'reclaim', 'copy')
# The keys by which cases are matched, in the order in which they are printed.
KEYS = ('test', 'mode', 'lcores', 'domain', 'layout', 'direction', 'page', 'granule', 'batch', 'space', 'dma', 'frame',
        'burst', 'verify', 'working_set')
LEAST = 0.05  # the least difference that is reported, relative to the stage
PART = 0.02  # the least difference that is reported, relative to the case's total
ONCE = 0.25  # the noise of a case that was measured once or twice


class Wrong(Exception):
    """A file that cannot be compared."""


def read(path, across=None):
    try:
        with open(path, encoding='utf-8') as file:
            results = json.load(file)
        cases = results['cases']
        cases = [case for case in cases if 'error' not in case]
        keyed = {key(case, across): case for case in cases}
        values = {str(value(case, across)) for case in cases if across}
        if len(values) > 1:
            raise Wrong(f'{path} has several values of {across} ({", ".join(sorted(values))}): --across needs one in each file')
        return keyed
    except OSError as error:
        raise Wrong(f'{error.filename}: {error.strerror}') from error
    except (ValueError, KeyError, TypeError) as error:
        raise Wrong(f'{path} is not a result of moat-perf --json: {type(error).__name__} {error}') from error


def value(case, name):
    return case['unit'][{'unit': 'kind'}.get(name, name)] if name in ('unit', 'args') else case.get(name)


def key(case, across):
    return tuple(None if name == across else value(case, name) for name in ('unit', 'args') + KEYS)


def least_apart(before, after):
    """Find the two cases that differ in the fewest keys, and return these keys: pairs of a key and 'A / B'."""
    least = []
    for a in before:
        for b in after:
            apart = [(name, ' / '.join('none' if v is None else f"'{v}'" if v == '' else str(v) for v in (x, y)))
                     for name, x, y in zip(('unit', 'args') + KEYS, a, b) if x != y]
            if not least or len(apart) < len(least):
                least = apart
    return least


def nothing_shared(paths, before, after):
    apart = least_apart(before, after)
    text = f'{paths[0]} and {paths[1]} have no case in common: '
    if not apart:
        return Wrong(text + 'one of them has no case that was measured')
    text += 'the nearest ones differ in ' + ', '.join(f'{name}: {values}' for name, values in apart)
    if len(apart) == 1:
        return Wrong(text + f'; try --across {apart[0][0]}')
    return Wrong(text + '; measure both with the same values of all but one, and compare with --across')


def title(case, varying):
    unit = case['unit']
    words = [f"test {case['test']}", f"unit {unit['kind']}" + (f",{unit['args']}" if unit['args'] else ''), case['mode']]
    words += [f'{name} {case[name]}' for name in KEYS[2:] if name in varying and name in case]
    return ', '.join(words)


def noise(values):
    """The standard error of the median, relative to the median."""
    if len(values) < 3:
        return ONCE / (3 * math.sqrt(2))
    low, middle, high = quantiles(values, n=4, method='inclusive')
    return 1.2533 * (high - low) / 1.349 / math.sqrt(len(values)) / middle


class Difference:
    """One stage of one case, in two series of repeats."""

    def __init__(self, name, before, after):
        self.name = name
        a, b = ([repeat[name] for repeat in series] for series in (before, after))
        self.before, self.after = median(a), median(b)
        self.total = median(repeat['total'] for repeat in before)
        self.sides = []
        if self.before <= 0 or self.after <= 0:
            return
        self.add(a, b)
        if all(repeat.get('reference') for series in (before, after) for repeat in series):
            self.add([repeat[name] / repeat['reference'] for repeat in before],
                     [repeat[name] / repeat['reference'] for repeat in after])

    def add(self, a, b):
        self.sides.append((median(b) / median(a) - 1, max(LEAST, 3 * math.hypot(noise(a), noise(b)))))

    @property
    def share(self):
        """The change relative to A's median: of cycles or of their ratio, whichever is smaller."""
        return min((change for change, _ in self.sides), key=abs, default=0)

    @property
    def limit(self):
        return max((limit for _, limit in self.sides), default=LEAST)

    @property
    def beyond(self):
        return (abs(self.share) > self.limit and abs(self.after - self.before) > PART * self.total
                and len({change > 0 for change, _ in self.sides}) == 1)

    def __str__(self):
        word = 'slower' if self.share > 0 else 'faster'
        tail = f'{100 * abs(self.share):.0f} % {word}' if self.beyond else 'no difference'
        return f'{self.name}: {self.before:.1f} -> {self.after:.1f} cycles, {tail} (noise {100 * self.limit:.0f} %)'


def compare(before, after, every):
    """Print the differences. @return names of stages that are slower, of those faster, and how many cases matched"""
    shared = [name for name in before if name in after]
    varying = {name for at, name in enumerate(KEYS, 2) if len({case[at] for case in shared}) > 1}
    slower, faster, totals, once = [], [], [], False
    for name in shared:
        a, b = (side[name].get('repeats') or [side[name]['stages']] for side in (before, after))
        once |= min(len(a), len(b)) < 3
        stages = [Difference(stage, a, b) for stage in STAGES]
        total = Difference('total', a, b)
        told = [stage for stage in stages + [total] if stage.beyond or every and stage.before > 0]
        print(f'{title(before[name], varying)}: {"" if told else "no difference"}'.rstrip())
        for stage in told:
            print(f'  {stage}')
        for stage in stages:
            if stage.beyond:
                (slower if stage.share > 0 else faster).append(stage.name)
        if total.beyond:
            totals.append(total)
    if once:
        print(f'some cases were measured less than three times: {100 * ONCE:.0f} % are taken for noise; use --repeat 7')
    # a total is named where no stage differs beyond its own noise
    slower = slower or [total.name for total in totals if total.share > 0]
    faster = faster or [total.name for total in totals if total.share < 0]
    return slower, faster, len(shared)


def names(stages):
    return ', '.join(dict.fromkeys(stages))


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != '--all']
    across = None
    if '--help' in arguments or '-h' in arguments:
        print(__doc__.strip())
        return 0
    if '--across' in arguments[:-1]:
        at = arguments.index('--across')
        across = arguments[at + 1]
        del arguments[at:at + 2]
        if across not in ('unit', 'args') + KEYS:
            print(f"moat-perf-compare: --across {across}: there is no such key; there are {', '.join(('unit', 'args') + KEYS)}",
                  file=sys.stderr)
            return 2
    if len(arguments) != 2 or any(argument.startswith('-') for argument in arguments):
        print('usage: moat-perf-compare [--all] [--across KEY] A.json B.json', file=sys.stderr)
        return 2
    try:
        before, after = (read(path, across) for path in arguments)
        if across and before and after:
            print(f'{across}: ' + ' -> '.join(str(value(next(iter(side.values())), across)) for side in (before, after)))
        slower, faster, n = compare(before, after, '--all' in sys.argv)
        if n == 0:
            raise nothing_shared(arguments, before, after)
    except Wrong as error:
        print(f'moat-perf-compare: {error}', file=sys.stderr)
        return 2
    only = len(before) + len(after) - 2 * n
    if only:
        print(f'{only} cases are in one of the files only')
    print(f'{n} cases compared: ' + ('; '.join(
        [f'slower: {names(slower)}'] * bool(slower) + [f'faster: {names(faster)}'] * bool(faster)) or 'nothing differs'))
    return 3 if slower else 0


if __name__ == '__main__':
    sys.exit(main())
