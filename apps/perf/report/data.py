# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""The JSON's data in the form that the page uses: cases in sweeps, varying keys, numbers as text."""

MODES = ('static', 'strict', 'pipelined', 'deferred', 'copy')
STAGES = ('map', 'translate', 'unmap', 'submit', 'wait', 'reclaim', 'copy')
KEYS = ('unit', 'lcores', 'domain', 'working_set', 'direction', 'dma', 'frame', 'burst', 'page',
        'layout', 'granule', 'batch', 'mode')
BYTES = ('working_set', 'page')


class Case:
    """A case and its index in the JSON, which the page's numbers refer to."""

    def __init__(self, index, fields):
        self.index, self.fields = index, fields

    def get(self, path):
        """'stages.total' -> the number, or None if there is none."""
        value = self.fields
        for name in path.split('.'):
            if not isinstance(value, dict) or name not in value:
                return None
            value = value[name]
        return value

    def key(self, name):
        return self.fields['unit']['name'] if name == 'unit' else self.fields.get(name)

    @property
    def failed(self):
        return 'error' in self.fields


class Sweep:
    def __init__(self, name, test, cases):
        self.name, self.test = name, test
        self.all = cases
        self.cases = [case for case in cases if not case.failed]
        self.varying = [key for key in KEYS if len({str(case.key(key)) for case in cases}) > 1]

    def values(self, key):
        """The key's values, in the order in which they were measured."""
        return list(dict.fromkeys(case.key(key) for case in self.cases))

    def where(self, **wanted):
        return [case for case in self.cases
                if all(case.key(key) == value for key, value in wanted.items())]

    @property
    def predicts(self):
        return self.test == 'map' and any(case.get('prediction') for case in self.cases)


def sweeps(results):
    groups = {}
    for index, fields in enumerate(results['cases']):
        groups.setdefault((fields['sweep'], fields['test']), []).append(Case(index, fields))
    return [Sweep(name, test, cases) for (name, test), cases in groups.items()]


def number(value):
    """A number with three significant digits: 0.0312, 2.45, 73.9, 577, 12,300, 5.18 M."""
    if value is None:
        return '–'
    if value == 0:
        return '0'
    size = abs(value)
    if size >= 999500:
        return f'{number(value / 1e6)} M'
    if size >= 1000:
        digits = len(str(int(size))) - 3
        return f'{round(value / 10 ** digits) * 10 ** digits:,}'
    for limit, decimals in ((99.95, 0), (9.995, 1), (0.9995, 2), (0.09995, 3), (0.009995, 4)):
        if size >= limit:
            return f'{value:.{decimals}f}'
    return f'{value:.2g}'


def size(value):
    for unit in ('', 'K', 'M', 'G', 'T'):
        if value % 1024 or not value:
            return f'{value}{unit}'
        value //= 1024
    return f'{value}P'


def word(key, value):
    """A key's value as people read it."""
    if key in BYTES:
        return size(value)
    if key in ('frame', 'dma'):
        return f'{value} B'
    return str(value)


def label(key, value):
    """A key's value, with the key's name unless the value is clear without it."""
    text = word(key, value)
    if key in ('unit', 'mode', 'layout', 'direction', 'frame'):
        return text
    return f'{key.replace("_", " ")} {text}'
