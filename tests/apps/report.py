#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""The report as a browser shows it: every number is the JSON's, and the length of every mark fits its number.

usage: report.py REPORT.html RESULTS.json WORK-FOLDER

Needs chromium. Prints TAP. Pictures stay in WORK-FOLDER.
"""

import html
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import tap

PAGE, RESULTS, WORK = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
STAGES = ('map', 'translate', 'unmap', 'submit', 'wait', 'reclaim', 'copy')
VOID = {'meta', 'link', 'br', 'img', 'input', 'hr'}


def browser(*options):
    """@return what chromium prints"""
    with tempfile.TemporaryDirectory(prefix='moat-chromium-') as profile:
        command = [shutil.which('chromium') or 'chromium', '--headless', '--disable-gpu',
                   '--disable-quic', '--no-first-run', '--disable-background-networking',
                   '--disable-component-update', '--disable-sync', '--hide-scrollbars',
                   f'--user-data-dir={profile}', '--virtual-time-budget=2000', *options]
        if os.geteuid() == 0:
            command.insert(1, '--no-sandbox')
        p = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert p.returncode == 0, p.stderr[-500:]
        return p.stdout


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag, self.attributes, self.parent = tag, dict(attributes), parent
        self.text, self.children = '', []

    def __getitem__(self, name):
        return self.attributes.get(name)

    def all(self, *tags):
        for child in self.children:
            if not tags or child.tag in tags:
                yield child
            yield from child.all(*tags)


class Tree(HTMLParser):
    """The elements of the browser's serialisation of a page, in which all tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.root = self.now = Element('', {}, None)
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        element = Element(tag, attributes, self.now)
        self.now.children.append(element)
        if tag not in VOID:
            self.now = element

    def handle_endtag(self, tag):
        if tag not in VOID:
            self.now = self.now.parent

    def handle_data(self, data):
        self.now.text += data


def dom():
    if not hasattr(dom, 'tree'):
        dom.tree = Tree(browser('--dump-dom', PAGE.resolve().as_uri())).root
    return dom.tree


def value(element):
    """@return the number of the JSON that an element shows"""
    found = RESULTS['cases'][int(element['data-case'])]
    for name in element['data-field'].split('.'):
        found = found[name]
    return found


def shown(text):
    """@return the number in a text"""
    number, unit = re.fullmatch(r'([0-9.,e+-]+)( M| Gb/s|×)?', text.strip()).groups()
    return float(number.replace(',', '')) * (1e6 if unit == ' M' else 1)


def near(a, b):
    """@return whether two numbers are equal in the digits shown: three, or two for the smallest"""
    return abs(a - b) <= (0.006 if abs(b) >= 0.01 else 0.06) * abs(b) + 1e-12


# ------------------------------------------------------------------------------------ numbers

def every_number_shown_is_the_jsons():
    count = 0
    for element in dom().all('td', 'text', 'b'):
        if element['data-case'] is None or (element['data-field'] or '').startswith('prediction.holds'):
            continue
        wanted = value(element)
        if element['data-over'] is not None:
            over = RESULTS['cases'][int(element['data-over'])]
            wanted = over['stages']['total'] / wanted
        assert near(shown(element.text), wanted), (element.text, wanted, element.attributes)
        count += 1
    assert count > 8 * len(RESULTS['cases']), count


def every_case_has_its_total_in_a_table():
    cells = {(int(e['data-case']), e['data-field']) for e in dom().all('td') if e['data-case']}
    for index, case in enumerate(RESULTS['cases']):
        assert (index, 'stages.total') in cells, index
        if case.get('prediction', {}).get('dmas') and case['test'] == 'map':
            for field in ['gbps', 'memory_reads'] + [f'holds.{link}' for link in (25, 100, 200, 400)]:
                assert (index, f'prediction.{field}') in cells, (index, field)


def ticks_and_crosses_are_the_jsons():
    marks = [e for e in dom().all('td') if (e['data-field'] or '').startswith('prediction.holds')]
    assert marks
    for element in marks:
        assert element.text.strip() == ('✓' if value(element) else '✗'), element.attributes


def every_mode_says_what_it_leaves_a_device():
    text = ' '.join(e.text for e in dom().all('td'))
    for case in RESULTS['cases']:
        assert case['mode'] in text and case['touches'] in text, case['touches']


def the_machine_and_the_commands_are_there():
    text = ' '.join(e.text for e in dom().all('dd', 'pre'))
    for wanted in (RESULTS['machine']['processor'], RESULTS['machine']['kernel'],
                   RESULTS['machine']['date'], RESULTS['command'],
                   *(case['command'] for case in RESULTS['cases'])):
        assert wanted in text, wanted


# ------------------------------------------------------------------------------------- charts

def bars_are_as_long_as_their_numbers():
    count = 0
    for chart in dom().all('svg'):
        bars = [e for e in chart.all('rect') if e['data-case']]
        scales = [float(e['width']) / value(e) for e in bars if value(e) > 1]
        count += len(bars)
        assert not scales or max(scales) - min(scales) <= 0.002 * max(scales), scales
    assert count > 100, count


def stages_lie_end_to_end():
    for chart in dom().all('svg'):
        rows = {}
        for e in chart.all('rect'):
            if (e['data-field'] or '').startswith('stages.'):
                rows.setdefault(e['data-case'], []).append(e)
        for case, bars in rows.items():
            end = float(bars[0]['x'])
            assert [e['data-field'].split('.')[1] for e in bars] == [
                s for s in STAGES if RESULTS['cases'][int(case)]['stages'][s] > 0]
            for e in bars:
                assert abs(float(e['x']) - end) < 0.02, (case, e.attributes)
                end = float(e['x']) + float(e['width'])


def points_are_as_high_as_the_logarithm_of_their_numbers():
    count = 0
    for chart in dom().all('svg'):
        points = []
        for e in chart.all('circle'):
            case = RESULTS['cases'][int(e['data-case'])]
            per_page = value(e) / (case['granule'] * case['page'] / 4096)
            points.append((math.log10(per_page), float(e['cy'])))
        count += len(points)
        points.sort()
        (low, bottom), (high, top) = points[0] if points else (0, 0), points[-1] if points else (1, 1)
        for x, y in points:
            if high - low > 0.1:
                assert abs(bottom + (x - low) / (high - low) * (top - bottom) - y) < 0.3, (x, y)
    assert count > 50, count


def charts_of_every_kind_are_there():
    titles = ' | '.join(e.text for e in dom().all('h4'))
    for wanted in ('by batch', 'by page', 'by working set', 'after-2100, 1500 B', 'Pages in a run',
                   'working set 64M', 'deferred: µs until a page is out of reach'):
        assert wanted in titles, (wanted, titles)


# --------------------------------------------------------------------------------------- page

def it_needs_nothing_but_itself():
    text = PAGE.read_text()
    assert not re.search(r'https?:|//|@import|url\(', re.sub(r'<(pre|dd)>.*?</\1>', '', text, flags=re.S))
    for e in dom().all():
        assert e.tag not in ('script', 'link', 'img', 'iframe', 'object'), e.tag
        assert e['src'] is None and e['href'] is None, e.attributes


def frame(width):
    """Loads the page in a frame of so many pixels. @return its content's width, the height of letters in charts, and
    the letters that lie outside of their chart"""
    probe = """<script>onload = () => {
        const d = document.querySelector('iframe').contentDocument;
        const t = [...d.querySelectorAll('svg text')].map(e => {
            const m = e.getScreenCTM(); return parseFloat(getComputedStyle(e).fontSize) * m.a; });
        const out = [...d.querySelectorAll('svg text')].filter(e => {
            const b = e.getBBox(), v = e.ownerSVGElement.viewBox.baseVal;
            return b.x < -1 || b.x + b.width > v.width + 1 || b.y < -1 || b.y + b.height > v.height + 1;
        }).map(e => e.textContent);
        document.title = JSON.stringify([d.documentElement.scrollWidth, Math.min(...t), out]);
    }</script>"""
    path = WORK / f'frame-{width}.html'
    path.write_text(f'<iframe style="border:0;width:{width}px;height:4000px" '
                    f'srcdoc="{html.escape(PAGE.read_text())}"></iframe>{probe}')
    out = browser('--dump-dom', path.resolve().as_uri())
    path.unlink()
    return json.loads(html.unescape(re.search(r'<title>(.*?)</title>', out)[1]))


def a_telephone_shows_it_without_scrolling_sideways():
    for width in (360, 768, 1280):
        content, letters, out = frame(width)
        assert content <= width, f'{content} pixels of content in a frame of {width}'
        assert letters >= 8, f'letters of {letters} pixels in a frame of {width}'
        assert not out, f'cut off: {out}'


def pictures_are_taken_in_light_and_in_dark():
    sizes = {}
    for name, options in (('light', ()), ('dark', ('--blink-settings=preferredColorScheme=0',))):
        path = WORK / f'report-{name}.png'
        path.unlink(missing_ok=True)
        browser('--window-size=1280,3600', f'--screenshot={path}', *options,
                PAGE.resolve().as_uri())
        sizes[name] = path.stat().st_size
        assert sizes[name] > 50000, sizes


def it_prints():
    path = WORK / 'report.pdf'
    path.unlink(missing_ok=True)
    browser(f'--print-to-pdf={path}', '--no-pdf-header-footer', PAGE.resolve().as_uri())
    assert path.read_bytes().startswith(b'%PDF') and path.stat().st_size > 20000


TESTS = [
    every_number_shown_is_the_jsons,
    every_case_has_its_total_in_a_table,
    ticks_and_crosses_are_the_jsons,
    every_mode_says_what_it_leaves_a_device,
    the_machine_and_the_commands_are_there,
    bars_are_as_long_as_their_numbers,
    stages_lie_end_to_end,
    points_are_as_high_as_the_logarithm_of_their_numbers,
    charts_of_every_kind_are_there,
    it_needs_nothing_but_itself,
    a_telephone_shows_it_without_scrolling_sideways,
    pictures_are_taken_in_light_and_in_dark,
    it_prints,
]


if __name__ == '__main__':
    tap.main(TESTS)
