# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""The page: the main numbers, then a section for each sweep, then how to repeat the run."""

import os
from html import escape

import charts
import tables
from data import sweeps

INTRODUCTION = """
<p>A device reaches memory through a VT-d unit, at addresses that its driver maps for it. To take a
page away again needs an invalidation, and the device can reach the page until the unit has completed
it. This page shows what that costs the driver, in cycles of the time-stamp counter, in each of moat's
modes. The cycles of the software unit and of the software NIC are not included.</p>
"""

TITLES = {
    'modes': 'Packets, mode by mode',
    'batch': 'More pages under one ticket',
    'page': 'Larger pages',
    'working set': 'Larger working sets',
    'hardware': 'What would real hardware do?',
}


def style():
    """Read style.css, which is beside this file, or in the same archive."""
    path = os.path.join(os.path.dirname(__file__), 'style.css')
    return __loader__.get_data(path).decode()


def heading(sweep):
    kind = 'Packets' if sweep.test == 'packets' else 'Mapping and unmapping'
    title = TITLES.get(sweep.name)
    return title or (f'{kind}: {sweep.name}' if sweep.name else kind)


def section(sweep, results):
    parts = [f'<section><h2>{escape(heading(sweep))}</h2>', tables.constants(sweep)]
    if sweep.cases:
        parts.append(charts.explain(sweep, results))
        parts.append(charts.draw(sweep, results))
    parts.append(tables.results(sweep, results))
    parts.append('</section>')
    return ''.join(parts)


def machine(results):
    words = {'processor': 'Processor', 'processors': 'Processors', 'memory': 'Memory',
             'hugepages': 'Hugepages', 'kernel': 'Kernel', 'dpdk': 'DPDK', 'date': 'Measured'}
    entries = [(words[key], results['machine'][key]) for key in words]
    entries.append(('Time-stamp counter', f'{results["machine"]["tsc_hz"] / 1e9:.2f} GHz'))
    entries.append(('A reading of the stopwatch',
                    f'{results["machine"]["stopwatch_cycles"]:.0f} cycles; each stage of a batch or '
                    'burst includes one reading'))
    entries.append(('moat-perf', results['moat-perf']))
    rows = ''.join(f'<dt>{escape(key)}</dt><dd>{escape(str(value))}</dd>' for key, value in entries)
    return f'<section><h2>The machine</h2><dl>{rows}</dl></section>'


def commands(results):
    each = '\n'.join(dict.fromkeys(case['command'] for case in results['cases']))
    return ('<section><h2>To repeat it</h2><p>All of it:</p>'
            f'<pre>{escape(results["command"])}</pre>'
            f'<details><summary>Each case on its own</summary><pre>{escape(each)}</pre></details>'
            '<p class="soft">Stages and totals are means over the middle half of rounds of 16 '
            'batches or bursts: a time slice that another process got does not count as '
            'mapping cost. Medians, 99 % and maxima are of every batch, divided by its '
            'operations.</p></section>')


def render(results):
    groups = sweeps(results)
    partly = '' if results['complete'] else \
        '<p><b>Not complete: measuring was stopped before the last case.</b></p>'
    body = [
        '<header><h1>What protection costs</h1>',
        f'<p class="soft">moat-perf {escape(results["moat-perf"])} on '
        f'{escape(results["machine"]["processor"])}, {escape(results["machine"]["date"])}</p>'
        '</header>', partly, charts.tiles(groups), INTRODUCTION, tables.modes(results),
        *(section(sweep, results) for sweep in groups), machine(results), commands(results),
    ]
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>moat-perf: what protection costs</title><style>{style()}</style></head>'
            f'<body>{"".join(body)}</body></html>\n')
