# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Tables. Every cell with a number names it in the JSON: data-case and data-field."""

from html import escape

from data import KEYS, MODES, STAGES, label, number, word

WHEN = {
    'static': 'at once; memory is mapped once, permanently',
    'strict': 'when the ticket of its unmap is done; the lcore waits',
    'pipelined': 'when the ticket is done; the lcore keeps polling meanwhile',
    'deferred': 'at once; the unit is told by count or time',
    'copy': 'as a copy; the device keeps its buffer',
}
TEXT_KEYS = ('unit', 'mode', 'domain', 'layout', 'direction')


def table(head, rows):
    """`head` and the cells are (attributes, text)."""
    top = ''.join(f'<th {attributes}>{escape(name)}</th>' for attributes, name in head)
    body = ''.join('<tr>' + ''.join(f'<td {attributes}>{escape(name)}</td>'
                                    for attributes, name in row) + '</tr>' for row in rows)
    return (f'<div class="wide"><table><thead><tr>{top}</tr></thead>'
            f'<tbody>{body}</tbody></table></div>')


def cell(case, field):
    value = case.get(field)
    if value is None:
        return '', '–'
    return (f'data-case="{case.index}" data-field="{field}"',
            f'{value:,}' if isinstance(value, int) else number(value))


def modes(results):
    """The modes that were measured, and what a device can still reach in each."""
    touches = {case['mode']: case['touches'] for case in results['cases']}
    rows = [[('class="text"', mode), ('class="words"', WHEN[mode]), ('class="words"', touches[mode])]
            for mode in MODES if mode in touches]
    return '<h3>The modes</h3>' + table(
        [('class="text"', 'mode'), ('class="text"', 'a packet is handed on'),
         ('class="text"', 'what a device can still touch')], rows)


def constants(sweep):
    """What all cases of a sweep have in common, and its units."""
    case = sweep.all[0]
    units = {c.key('unit'): (c.fields['unit'], c.fields.get('stage')) for c in sweep.all}
    parts = [label(key, case.key(key)) for key in KEYS
             if key not in sweep.varying and key != 'unit' and case.key(key) not in (None, 0)]
    parts += [f'unit {name}: {unit["kind"]}{" " + unit["args"] if unit["args"] else ""}'
              + (f' (stage: {stage})' if stage else '') for name, (unit, stage) in units.items()]
    return f'<p class="soft">{escape(", ".join(parts))}.</p>'


def columns(sweep):
    """The columns of a sweep's table: (heading, field)."""
    if sweep.test == 'packets':
        fields = [(stage, f'stages.{stage}') for stage in STAGES
                  if any(case.get(f'stages.{stage}') for case in sweep.cases)]
        fields += [('total', 'stages.total'), ('p99', 'cycles.total.p99'),
                   ('application', 'stages.application'), ('device', 'stages.device'),
                   ('packets/s', 'operations_per_second')]
    else:
        fields = [('map', 'cycles.map.median'), ('map p99', 'cycles.map.p99'),
                  ('unmap', 'cycles.unmap.median'), ('unmap p99', 'cycles.unmap.p99'),
                  ('total', 'stages.total'), ('pages/s', 'pages_per_second')]
    fields += [('descriptors/page', 'descriptors_per_page'), ('waits/page', 'waits_per_page')]
    if any(case.get('exposed') for case in sweep.cases):
        fields += [('window, mean µs', 'exposed.mean_us'), ('max µs', 'exposed.max_us')]
    if any(case.get('prediction') for case in sweep.cases):
        fields += [('IOTLB misses/DMA', 'prediction.iotlb_misses'),
                   ('reads/DMA', 'prediction.memory_reads'), ('Gb/s', 'prediction.gbps')]
    return fields


def holds(case, links):
    result = []
    for link in links:
        yes = case.get(f'prediction.holds.{link}')
        result.append((f'class="{"yes" if yes else "no"}" data-case="{case.index}" '
                       f'data-field="prediction.holds.{link}"', '✓' if yes else '✗'))
    return result


def results(sweep, everything):
    links = everything['model']['links'] if sweep.predicts else []
    fields = columns(sweep)
    keys = sweep.varying or ['mode']
    head = [('class="text"' if key in TEXT_KEYS else '', key.replace('_', ' ')) for key in keys]
    head += [('', name) for name, _ in fields] + [('', f'{link}G') for link in links]
    rows = []
    for case in sweep.all:
        row = [('class="text"' if key in TEXT_KEYS else '', word(key, case.key(key)))
               for key in keys]
        if case.failed:
            width = len(fields) + len(links)
            row.append((f'class="failed" colspan="{width}"', 'failed: ' + case.fields['error']))
        else:
            row += [cell(case, field) for _, field in fields]
            row += holds(case, links) if links else []
        rows.append(row)
    opened = ' open' if len(rows) <= 12 else ''
    return (f'<details{opened}><summary>All {len(rows)} cases as a table</summary>'
            f'{table(head, rows)}</details>')
