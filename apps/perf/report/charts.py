# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""The charts of a sweep, chosen by the keys that vary in it; and the numbers at the top of the page."""

from html import escape

import svg
from data import STAGES, label, number, size, word

# Keys that can be the x axis of a curve.
AXES = ('batch', 'working_set', 'granule', 'lcores', 'burst', 'frame')
PAGE = 4096


def tile(value, words, attributes=''):
    return f'<div class="tile"><b {attributes}>{value}</b><span>{escape(words)}</span></div>'


def best_ratio(groups):
    """Find the slowest strict case with batch 1, and the same with pipelined and batch 32."""
    cases = [case for sweep in groups if sweep.test == 'map' for case in sweep.cases
             if case.key('page') == PAGE and case.key('granule') == 1
             and case.key('layout') == 'contiguous' and not case.get('prediction')]
    single = [case for case in cases if case.key('mode') == 'strict' and case.key('batch') == 1]
    gathered = [case for case in cases if case.key('mode') == 'pipelined'
                and case.key('batch') == 32]
    pairs = [(s, p) for s in single for p in gathered
             if all(s.key(key) == p.key(key)
                    for key in ('unit', 'working_set', 'direction', 'lcores', 'domain'))]
    return max(pairs, key=lambda pair: pair[0].get('stages.total'), default=None)


def tiles(groups):
    parts = []
    pair = best_ratio(groups)
    if pair:
        strict, pipelined = pair
        ratio = strict.get('stages.total') / pipelined.get('stages.total')
        parts.append(tile(f'{ratio:.1f}×', 'fewer driver cycles a page: pipelined in batches of '
                          f'32 against strict page by page ({strict.key("unit")})',
                          f'data-over="{strict.index}" data-case="{pipelined.index}" '
                          'data-field="stages.total"'))
        parts.append(tile(number(pipelined.get('stages.total')), 'cycles to map, unmap and '
                          'invalidate a page, pipelined in batches of 32', svg.mark(
                              pipelined, 'stages.total')))
    packets = [case for sweep in groups if sweep.test == 'packets' for case in sweep.cases
               if case.key('mode') == 'pipelined']
    if packets:
        case = max(packets, key=lambda one: (one.key('frame'), -packets.index(one)))
        parts.append(tile(number(case.get('stages.total')), f'cycles a packet of '
                          f'{case.key("frame")} B, pipelined ({case.key("unit")})',
                          svg.mark(case, 'stages.total')))
    predicted = [case for sweep in groups if sweep.predicts for case in sweep.cases]
    if predicted:
        case = max(predicted, key=lambda one: one.get('prediction.gbps'))
        parts.append(tile(f'{number(case.get("prediction.gbps"))} Gb/s', 'predicted at best: '
                          + layout_name(case) + f', {case.key("dma")} B a DMA',
                          svg.mark(case, 'prediction.gbps')))
    return f'<div class="tiles">{"".join(parts)}</div>' if parts else ''


def layout_name(case):
    return f'{size(case.key("page"))} {case.key("layout")}, {case.key("mode")}'


# ----------------------------------------------------------------------------------- explaining

def explain(sweep, results):
    if sweep.test == 'packets':
        return ('<p>Driver cycles per packet by stage: received, handed on, sent and freed. A shorter '
                'bar costs less. The table above says what memory each mode leaves a device.</p>'
                + svg.legend([(f'stage-{stage}', stage) for stage in STAGES
                              if any(case.get(f'stages.{stage}') for case in sweep.cases)]))
    if sweep.predicts:
        model = results['model']
        used = {arg.split('=')[1] for case in sweep.cases
                for arg in case.fields['unit']['args'].split(',') if arg.startswith('geometry=')}
        sources = ''.join(f'<p class="soft">Caches “{escape(g["name"])}”: {escape(g["source"])}.</p>'
                          for g in model['geometries'] if g['name'] in used)
        return (f'<p>The software unit counts how often its caches make it read memory for a DMA: M. '
                f'A DMA of p bytes then takes {model["l0_ns"]:g} ns + M × {model["lm_ns"]:g} ns. Dashed '
                'lines are the rates of 25, 100, 200 and 400 Gb/s links; a bar that passes one holds '
                f'its rate.</p><p class="soft">{escape(model["source"])}.</p>{sources}')
    return ('<p>Driver cycles to map a page of 4 KiB, unmap it and have it invalidated, its share of '
            'the ticket included. The scale is logarithmic.</p>')


# ------------------------------------------------------------------------------------- drawing

def draw(sweep, results):
    if sweep.test == 'packets':
        figures = ''.join(packet_charts(sweep))
    elif sweep.predicts:
        figures = ''.join(prediction_charts(sweep, results['model']['links']))
    else:
        figures = ''.join(map_charts(sweep))
    return f'<div class="charts">{figures}</div>' if figures else ''


def facets(sweep, inner):
    """Combinations of the varying keys other than `inner`, with the cases of each."""
    outer = [key for key in sweep.varying if key not in inner]
    groups = {}
    for case in sweep.cases:
        groups.setdefault(tuple(case.key(key) for key in outer), []).append(case)
    for values, cases in groups.items():
        title = ', '.join(label(key, value) for key, value in zip(outer, values))
        yield title or 'All modes' if outer or 'mode' in sweep.varying else '', cases


def packet_charts(sweep):
    """Several small charts on one scale, so that they can be compared."""
    top = max(case.get('stages.total') for case in sweep.cases)
    for title, cases in facets(sweep, ('mode',)):
        yield svg.stacked_bars(title or 'Cycles a packet',
                               [(case.key('mode'), case) for case in cases], top)
    exposed = [case for case in sweep.cases if case.get('exposed.windows')]
    if exposed:
        yield window_chart(max(exposed, key=lambda one: (one.key('frame'), one.index)))


def window_chart(case):
    """For how long pages stay reachable in mode deferred."""
    classes = [(number(window['below_us']), window['pages']) for window in case.get('exposed.windows')]
    return svg.share_bars(f'deferred: µs until a page is out of reach, {case.key("unit")}, '
                          f'{case.key("frame")} B', classes, 'pages',
                          f'Share of pages that a device could still touch for less than so many '
                          f'microseconds; the longest was {number(case.get("exposed.max_us"))} µs.')


def prediction_charts(sweep, links):
    for title, cases in facets(sweep, ('mode', 'page', 'layout')):
        rows = [(layout_name(case), case) for case in
                sorted(cases, key=lambda one: -one.get('prediction.gbps'))]
        yield svg.rate_bars(title or 'Predicted Gb/s', rows, links)


def per_page(case):
    return case.key('granule') * case.key('page') / PAGE


def map_charts(sweep):
    axes = [key for key in AXES if key in sweep.varying
            and (len(sweep.values(key)) > 2 or 'page' not in sweep.varying)]
    if 'page' in sweep.varying:
        axes.append('page')
    for axis in axes or ['mode']:
        for title, cases in facets(sweep, ('mode', axis)):
            names = [value for value in sweep.values(axis)
                     if any(case.key(axis) == value for case in cases)]
            series = []
            for mode in dict.fromkeys(case.key('mode') for case in cases):
                found = {case.key(axis): case for case in cases if case.key('mode') == mode}
                series.append((f'mode-{mode}', mode, [found.get(name) for name in names]))
            about = f'by {axis.replace("_", " ")}'
            yield svg.lines(f'{title}, {about}' if title and title != 'All modes' else
                            f'Cycles a page {about}', [word(axis, name) for name in names], series,
                            'stages.total', per_page)
    if 'layout' in sweep.varying:
        yield from run_charts(sweep)


def run_charts(sweep):
    """How long the runs of a ticket's pages are in each layout."""
    for layout in sweep.values('layout'):
        gathered = [case for case in sweep.where(layout=layout, mode='pipelined')
                    if case.get('runs')]
        if gathered:
            case = max(gathered, key=lambda one: one.key('batch'))
            yield svg.share_bars(f'Pages in a run, {layout}, batch {case.key("batch")}',
                                 [(f'{run["pages"]:,}', run['count']) for run in case.get('runs')],
                                 'runs')
