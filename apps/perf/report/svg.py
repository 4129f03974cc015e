# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Charts. A chart is 400 units wide, so that its text is readable on a telephone.

Colours are classes (style.css), for dark pages and for print. Every mark names its number in the JSON:
data-case and data-field.
"""

from html import escape
from math import ceil, floor, log10

from data import STAGES, number

WIDTH = 400
ROW = 24


def mark(case, field):
    return f'data-case="{case.index}" data-field="{field}" data-value="{case.get(field):.6g}"'


def text(x, y, content, kind='', anchor='start'):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">'
            f'{escape(content)}</text>')


def svg(height, title, parts, caption=''):
    """A figure, with the title as a heading, so that the title can be selected and found."""
    caption = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return (f'<figure><h4>{escape(title)}</h4>'
            f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
            f'{"".join(parts)}</svg>{caption}</figure>')


def legend(entries):
    """Entries are (class, text)."""
    items = ''.join(f'<li><i class="{kind}"></i>{escape(name)}</li>' for kind, name in entries)
    return f'<ul class="legend">{items}</ul>'


def steps(top):
    """Round numbers from 0 to `top` or more, in three to five steps."""
    if top <= 0:
        return [0, 1]
    unit = 10 ** floor(log10(top / 4))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * 5 >= top)
    return [step * i for i in range(ceil(top / step - 1e-9) + 1)]


def stacked_bars(title, rows, top):
    """Rows are (name, case): the stages of mapping, end to end, on a scale up to `top`."""
    left, right = 66, 44
    ticks = steps(top)
    scale = (WIDTH - left - right) / ticks[-1]
    height = len(rows) * ROW + 20
    parts = [f'<line class="grid" x1="{left + tick * scale:.1f}" x2="{left + tick * scale:.1f}" '
             f'y1="0" y2="{height - 18}"/>'
             + text(left + tick * scale, height - 5, f'{tick:,.10g}', 'axis', 'middle')
             for tick in ticks]
    for i, (name, case) in enumerate(rows):
        x, y = left, i * ROW + 4
        parts.append(text(left - 6, y + 12, name, 'name', 'end'))
        for stage in STAGES:
            field = f'stages.{stage}'
            width = case.get(field) * scale
            if case.get(field) > 0:
                parts.append(f'<rect class="stage-{stage}" x="{x:.2f}" y="{y}" width="{width:.3f}" '
                             f'height="16" {mark(case, field)}><title>{name}, {stage}: '
                             f'{number(case.get(field))}</title></rect>')
            x += width
        parts.append(f'<text class="value" x="{x + 4:.1f}" y="{y + 12}" '
                     f'{mark(case, "stages.total")}>{number(case.get("stages.total"))}</text>')
    return svg(height, title, parts)


def log_scale(values, bottom, top):
    """A function from values to y, and the values of the lines: 1, 2, 5 ... or 1, 10 ..."""
    low, high = log10(min(values)), log10(max(values))
    low, high = floor(low * 3) / 3 - 0.05, max(ceil(high * 3) / 3, low + 0.6)
    ticks = [factor * 10 ** e for e in range(floor(low), ceil(high) + 1) for factor in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= log10(tick) <= high + 1e-9]
    if len(ticks) > 8:
        ticks = [tick for tick in ticks if log10(tick) % 1 < 1e-9]

    def y_of(value):
        return bottom - (log10(value) - low) / (high - low) * (bottom - top)
    return y_of, ticks


def apart(ends, least):
    """Heights of labels, moved so that they are at least `least` apart."""
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    places = [ends[i] for i in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + least)
    result = [0.0] * len(ends)
    for place, i in zip(places, order):
        result[i] = place
    return result


def lines(title, names, series, field, per=1, caption=''):
    """Series are (class, name, cases), a case (or None) for each of `names` along the x axis.
    `per`: a case's value is divided by per(case)."""
    left, right, top, bottom = 48, 76, 8, 210
    scale = per if callable(per) else lambda case: per
    values = [case.get(field) / scale(case) for _, _, cases in series for case in cases
              if case is not None and case.get(field) > 0]
    if not values:
        return ''
    y_of, ticks = log_scale(values, bottom, top)
    step = (WIDTH - left - right) / max(len(names) - 1, 1)
    parts = [f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y_of(t):.1f}" '
             f'y2="{y_of(t):.1f}"/>' + text(left - 5, y_of(t) + 4, f'{t:,.10g}', 'axis', 'end')
             for t in ticks]
    parts += [text(left + i * step, bottom + 16, name, 'axis', 'middle')
              for i, name in enumerate(names)]
    ends = []
    for kind, name, cases in series:
        points = [(left + i * step, y_of(case.get(field) / scale(case)), case)
                  for i, case in enumerate(cases) if case is not None and case.get(field) > 0]
        if not points:
            continue
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y, _ in points)
        parts.append(f'<polyline class="line {kind}" points="{path}"/>')
        parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.2" {mark(case, field)}>'
                  f'<title>{escape(name)}: {number(case.get(field) / scale(case))}</title></circle>'
                  for x, y, case in points]
        ends.append((kind, name, points[-1]))
    for y, (kind, name, (x, _, _)) in zip(apart([end[2][1] for end in ends], 13), ends):
        parts.append(text(x + 7, y + 4, name, f'label {kind}'))
    return svg(bottom + 26, title, parts, caption)


def rate_bars(title, rows, links):
    """Rows are (name, case): predicted Gb/s, with a line at every link's rate."""
    left, right = 160, 44
    top = max([case.get('prediction.gbps') for _, case in rows] + [links[-1] * 1.02])
    scale = (WIDTH - left - right) / top
    height = len(rows) * ROW + 20
    parts = []
    for link in links:
        x = left + link * scale
        parts.append(f'<line class="link" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 18}"/>'
                     + text(x, height - 5, str(link), 'axis', 'middle'))
    for i, (name, case) in enumerate(rows):
        y, gbps = i * ROW + 4, case.get('prediction.gbps')
        parts.append(text(left - 6, y + 12, name, 'name', 'end'))
        parts.append(f'<rect class="rate" x="{left}" y="{y}" width="{gbps * scale:.3f}" height="16" '
                     f'{mark(case, "prediction.gbps")}><title>{escape(name)}: {number(gbps)} Gb/s'
                     '</title></rect>')
        parts.append(f'<text class="value" x="{left + gbps * scale + 4:.1f}" y="{y + 12}" '
                     f'{mark(case, "prediction.gbps")}>{number(gbps)}</text>')
    return svg(height, title, parts)


def share_bars(title, counts, what, caption=''):
    """A histogram in shares of its sum; counts are (name, count), and `what` is the noun for the count."""
    left, top, bottom = 44, 8, 110
    total = sum(count for _, count in counts)
    step = min((WIDTH - left) / len(counts), 60)
    every = 1 + len(counts) // 9
    parts = [f'<line class="grid" x1="{left}" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
             + text(left - 5, y + 4, name, 'axis', 'end')
             for y, name in ((top, '100 %'), ((top + bottom) / 2, '50 %'), (bottom, '0'))]
    for i, (name, count) in enumerate(counts):
        high = count / total * (bottom - top)
        x = left + i * step
        parts.append(f'<rect class="rate" x="{x + step * 0.15:.1f}" y="{bottom - high:.1f}" '
                     f'width="{step * 0.7:.1f}" height="{high:.1f}"><title>{name}: {count:,} {what}'
                     '</title></rect>')
        if i % every == 0:
            parts.append(text(x + step / 2, bottom + 15, name, 'axis', 'middle'))
    return svg(bottom + 24, title, parts, caption)
