#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""moat-perf: it counts what was asked for, however long that takes. No test checks a time.

usage: perf.py MOAT-PERF SWEEPS-FOLDER WORK-FOLDER

Prints TAP. The JSON of the report's own sweeps stays in WORK-FOLDER for report.py.
"""

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import tap

PROGRAM, SWEEPS, WORK = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
MODES = ('static', 'strict', 'pipelined', 'deferred', 'copy')
STAGES = ('map', 'translate', 'unmap', 'submit', 'wait', 'reclaim', 'copy')


def run(*options, status=0, **more):
    p = subprocess.run([PROGRAM, *options], capture_output=True, text=True, timeout=240, **more)
    assert p.returncode == status, f'{options}: status {p.returncode}: {p.stderr or p.stdout}'
    return p


def measure(*options, seconds='0.05', status=0):
    """@return the cases of a run"""
    path = WORK / 'run.json'
    path.unlink(missing_ok=True)
    run(*options, '--seconds', seconds, '--json', str(path), status=status)
    return json.loads(path.read_text())['cases']


def measure_dma(*options):
    """As measure(), with longer runs until each case has DMA: on a busy machine a device may do none in a short
    time."""
    for seconds in '0.05', '0.5', '5':
        cases = measure(*options, seconds=seconds)
        if all('prediction' in case for case in cases):
            break
    return cases


def only(cases, **wanted):
    found = [case for case in cases if all(case[key] == value for key, value in wanted.items())]
    assert len(found) == 1, f'{len(found)} cases with {wanted}'
    return found[0]


def sound(case):
    """Check what every measurement must fulfil."""
    assert case['operations'] > 0 and case['pages'] > 0 and case['seconds'] > 0, case
    total = sum(case['stages'][stage] for stage in STAGES)
    assert abs(total - case['stages']['total']) <= 1e-4 * total + 0.01, case['stages']
    for name, spread in case['cycles'].items():
        assert 0 <= spread['min'] <= spread['median'] <= spread['p99'] <= spread['max'], (name, case)
        assert spread['min'] <= spread['mean'] <= spread['max'], (name, case)
    if case['mode'] in ('strict', 'pipelined', 'deferred'):
        for stage in ('map', 'unmap', 'submit', 'reclaim'):
            assert case['stages'][stage] > 0, (stage, case)
        assert case['descriptors_per_page'] > 0 and case['waits_per_page'] > 0, case
    else:
        assert case['descriptors_per_page'] == 0 == case['stages']['wait'], case
    assert (case['stages']['copy'] > 0) == (case['mode'] == 'copy'), case


# ------------------------------------------------------------------------------------- map

def neighbours_share_a_descriptor_and_a_ticket():
    cases = measure('--mode', 'strict,pipelined', '--batch', '1,32,256')
    for case in cases:
        sound(case)
        for field in ('descriptors_per_page', 'waits_per_page'):
            # the end of the measurement may fall between a batch's unmaps and its ticket
            assert abs(case[field] * case['batch'] - 1) < 0.01, case
        size = case['batch']
        assert [run['pages'] for run in case['runs']] == [size], case['runs']


def granules_are_counted_in_pages_of_4_kib():
    cases = measure('--mode', 'strict', '--granule', '1,16', '--page', '4K,2M', '--batch', '2',
                    '--working-set', '64M')
    for case in cases:
        sound(case)
        pages = case['granule'] * case['page'] // 4096
        assert case['pages'] == case['operations'] * pages, case
        assert abs(case['waits_per_page'] * 2 * pages - 1) < 0.01, case
        # a run that is not aligned to its length takes two descriptors, each for half of it
        assert 0.99 < case['descriptors_per_page'] * 2 * pages < 2.01, case


def scattered_granules_need_a_descriptor_each():
    for case in measure('--mode', 'strict,pipelined,deferred', '--layout', 'scattered'):
        sound(case)
        assert [run['pages'] for run in case['runs']] == [1], case['runs']
        assert abs(case['descriptors_per_page'] - 1) < 0.01, case


def allocated_iovas_come_back_and_neighbours_are_found():
    for case in measure('--mode', 'strict,pipelined', '--layout', 'allocated', '--batch', '32'):
        sound(case)
        assert case['descriptors_per_page'] < 0.5, case


def static_and_copy_ask_nothing_of_the_unit():
    for case in measure('--mode', 'static,copy', '--direction', 'to-device,from-device,both'):
        sound(case)
        assert case['runs'] == [] and case['waited_per_operation'] == 0, case


def deferred_gathers_256_pages_and_measures_its_window():
    case, = measure('--mode', 'deferred', '--batch', '32')
    sound(case)
    assert case['waits_per_page'] < 1 / 100, case
    window = case['exposed']
    assert window['pages'] > 0 and 0 < window['mean_us'] <= window['max_us'], case
    assert sum(one['pages'] for one in window['windows']) == window['pages'], window
    assert window['mean_us'] < window['windows'][-1]['below_us'], window


def strict_waits_for_every_batch():
    case, = measure('--mode', 'strict', '--batch', '8', '--unit', 'soft,latency=2100')
    assert abs(case['waited_per_operation'] * 8 - 1) < 0.02, case
    # The lcore cannot be faster than the unit, except where the machine stops the lcore while it runs the device:
    # device time is not counted, but the unit's latency passes meanwhile.
    assert case['cycles']['unmap']['median'] * 8 >= 0.5 * 2100, case


def several_lcores_share_a_domain_or_have_their_own():
    if len(os.sched_getaffinity(0)) < 2:
        return 'this process may use one CPU only'
    for unit in 'soft', 'soft,scalable=1,mode=scalable,stage=nested':
        for case in measure('--unit', unit, '--lcores', '2', '--domain', 'own,shared', '--mode', 'strict,pipelined'):
            sound(case)


# -------------------------------------------------------------------------------- predictions

def a_prediction_follows_from_what_was_counted():
    cases = measure('--unit', 'soft,geometry=none,aw=48', '--unit', 'soft,geometry=none,aw=39',
                    '--mode', 'static', '--dma', '1500,4096')
    for case in cases:
        p = case['prediction']
        reads = 4 if 'aw=48' in case['unit']['args'] else 3
        # the counters of a running unit are not all read at the same instant
        assert abs(p['memory_reads'] - reads) < 0.01 and abs(p['iotlb_misses'] - 1) < 0.01, p
        assert p['dmas'] > 0 and p['bytes'] == case['dma'], p
        assert abs(p['ns'] - (65 + p['memory_reads'] * 197)) < 0.01, p
        assert abs(p['gbps'] - p['bytes'] * 8 / p['ns']) < 0.001, p
        assert p['holds'] == {str(link): p['gbps'] >= link for link in (25, 100, 200, 400)}, p


def a_unit_in_scalable_mode_is_measured_in_every_stage():
    # Second stage of 39 bits has 3 levels, first stage has 4. When nested, each of these 4 tables and then the page is
    # translated by the parent, which has leaves of 2 MiB there: 2 reads.
    for stage, reads in ('second', 3), ('first', 4), ('nested', 4 + 5 * 2):
        unit = f'soft,geometry=none,aw=39,scalable=1,mode=scalable,stage={stage}'
        for case in measure_dma('--unit', unit, '--mode', 'static,strict,pipelined', '--dma', '4096'):
            sound(case)
            # a DMA may meet a page that is not mapped at that instant
            assert abs(case['prediction']['memory_reads'] - reads) < 0.05, case['prediction']
            assert unit in case['command'] and case['stage'] == stage, case
            if case['mode'] != 'static':
                assert abs(case['descriptors_per_page'] * case['batch'] - 1) < 0.01, case
    for stage in 'first', 'nested':
        unit = f'soft,scalable=1,mode=scalable,stage={stage}'
        case, = measure('--test', 'packets', '--unit', unit, '--mode', 'strict')
        sound(case)
        assert case['stage'] == stage, case


def a_geometry_decides_which_layout_holds_a_rate():
    unit = ('--unit', 'soft,geometry=broadwell', '--mode', 'static', '--dma', '4096')
    fits = measure(*unit, '--working-set', '256K')[0]['prediction']
    assert fits['memory_reads'] == 0 and fits['holds']['400'], fits
    cases = measure(*unit, '--working-set', '64M', '--page', '4K,2M',
                    '--layout', 'contiguous,scattered')
    reads = {(case['page'], case['layout']): case['prediction']['memory_reads'] for case in cases}
    assert 1 <= reads[4096, 'contiguous'] < 1.01, reads  # a leaf entry for each page
    assert 1.5 < reads[4096, 'scattered'] <= 4, reads  # and mostly its table's entry, too
    assert reads[2 << 20, 'contiguous'] == 0 == reads[2 << 20, 'scattered'], reads


# ------------------------------------------------------------------------------------ packets

def the_matrix_of_modes_sizes_and_latencies_runs_in_one_command():
    table, lines = WORK / 'modes.csv', WORK / 'modes.json'
    p = run(str(SWEEPS / 'modes.ini'), '--seconds', '0.02', '--json', str(lines), '--csv', str(table))
    results = json.loads(lines.read_text())
    cases = results['cases']
    assert results['complete'] and len(cases) == 45
    for name, latency in (('at-once', ''), ('after-500', 'latency=500'),
                          ('after-2100', 'latency=2100')):
        for frame in (64, 512, 1500):
            for mode in MODES:
                found = [case for case in cases if case['unit']['name'] == name
                         and case['frame'] == frame and case['mode'] == mode]
                assert len(found) == 1 and found[0]['unit']['args'] == latency, found
    rows = list(csv.DictReader(table.open()))
    shown = [line.split() for line in p.stdout.splitlines()
             if line.split() and line.split()[0] in ('at-once', 'after-500', 'after-2100')]
    assert len(rows) == len(shown) == 45, (len(rows), len(shown))
    for case, row, words in zip(cases, rows, shown):
        sound(case)
        assert words[:3] == [case['unit']['name'], str(case['frame']), case['mode']], words
        assert row['mode'] == case['mode'] and int(row['frame']) == case['frame'], row
        for value, column in ((case['stages']['total'], 9), (case['stages']['device'], 12)):
            assert abs(float(words[column]) - value) <= 0.06 + 1e-5 * value, (words, value)
        assert abs(float(row['total']) - case['stages']['total']) <= 1e-5 * float(row['total']), row
        assert case['touches'] and case['prediction']['dmas'] == 2 * case['operations'], case
        if case['mode'] == 'strict':
            assert case['waited_per_operation'] > 0, case


def packets_of_a_burst_share_a_descriptor():
    case, = measure('--test', 'packets', '--mode', 'pipelined', '--frame', '1500')
    packets = case['descriptors_per_page'] * case['pages'] / case['operations']
    assert packets < 0.2, case


def verifying_costs_look_ups():
    case, = measure('--test', 'packets', '--mode', 'strict', '--verify', 'yes')
    assert case['stages']['translate'] > 0, case
    case, = measure('--test', 'packets', '--mode', 'strict')
    assert case['stages']['translate'] == 0, case


# ------------------------------------------------------------------------------- the program

def a_case_that_fails_is_reported_and_the_others_are_measured():
    cases = measure('--unit', 'soft,sllps=0', '--page', '4K,2M', '--mode', 'strict', '--batch', '2',
                    status=1)
    assert 'unit soft has no leaves of 2M; use page = 4K' == only(cases, page=2 << 20)['error']
    sound(only(cases, page=4096))


def a_kernel_that_does_not_remap_is_accepted_by_an_argument():
    kind = ('--unit', 'vfio', '--device', '00:1f.7', '--mode', 'strict')
    if ' IR-' in Path('/proc/interrupts').read_text():
        return 'the kernel of this machine remaps interrupts'
    refused, = measure(*kind, status=1)
    assert ('the kernel does not remap interrupts' in refused['error'] and
            'give the unit interrupts=compatible where that is acceptable' in refused['error']), refused
    accepted, = measure('--unit', 'vfio,interrupts=compatible', *kind[2:], status=1)  # there is no such device
    assert 'remap' not in accepted['error'] and '--unit vfio,interrupts=compatible ' in accepted['command'], accepted


def a_case_can_be_measured_again_by_its_own_command():
    case, = measure('--mode', 'strict', '--layout', 'scattered', '--batch', '8', '--dma', '64')
    again, = measure(*case['command'].split()[1:])
    for key in ('mode', 'layout', 'batch', 'dma', 'space', 'working_set', 'unit', 'direction'):
        if key != 'unit':
            assert case[key] == again[key], key


def the_command_line_says_what_is_wrong_with_it():
    unknown = ("moat-perf: unknown option '{}'; 'moat-perf --help' lists them; options of DPDK's EAL go first, with '--' "
               "behind them\n")
    for options, says in (
            (('--bath', '32'), "moat-perf: unknown option '--bath'; did you mean '--batch'?\n"),
            (('--workingset=1M',), "moat-perf: unknown option '--workingset=1M'; did you mean '--working-set'?\n"),
            (('--colour',), unknown.format('--colour')), (('-xs', '1'), unknown.format('-x')),
            (('--check', '-s'), unknown.format('-s')),
            (('--mode',), "moat-perf: '--mode' needs a value; 'moat-perf --help' says which\n"),
            (('--mode', 'quick'), 'mode = quick is unknown; it can be static, strict'),
            (('--seconds', '0'), '--seconds 0 is not a time'),
            (('no.ini',), 'no.ini: cannot be read: No such file'),
            (('no.ini', '--mode', 'strict'), 'write it into the file, or leave the file out'),
            (('one.ini', 'two.ini'), 'give one SWEEP.ini, not'),
            (('--json', '/nowhere/file'), '/nowhere/file cannot be written: No such file'),
            (('--unit', 'hard'), 'kind = hard is unknown; it can be soft'),
            (('--lcores', '64', '--seconds', '0.01'), 'this process may use')):
        p = run(*options, status=2)
        assert says in p.stderr and not p.stdout, (options, p.stderr, p.stdout)
        assert len(p.stderr.splitlines()) == 1, p.stderr
    assert not Path('/nowhere').exists()


def an_interrupted_run_keeps_what_it_has():
    path = WORK / 'interrupted.json'
    with subprocess.Popen([PROGRAM, '--mode', 'strict', '--batch', '1,2,4,8', '--seconds', '0.5',
                           '--json', str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:
        while True:
            line = process.stdout.readline()
            if re.match(r' *1 ', line) or not line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and 'stopped by signal 2 after' in errors, errors
    results = json.loads(path.read_text())
    assert not results['complete'] and 1 <= len(results['cases']) < 4, results['cases']


def progress_is_shown_on_a_terminal_only():
    options = ('--mode', 'strict,pipelined', '--seconds', '0.05')
    assert '[' not in run(*options).stderr
    parent, child = pty.openpty()
    with subprocess.Popen([PROGRAM, *options], stdout=subprocess.DEVNULL, stderr=child) as process:
        process.wait(60)
    os.close(child)
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    assert '] 0 of 2' in shown and '] 1 of 2' in shown and shown.endswith('\r\033[K'), repr(shown)


def the_report_is_made_of_every_sweep():
    html = WORK / 'report.html'
    html.unlink(missing_ok=True)
    run(str(SWEEPS / 'report.ini'), '--seconds', '0.02', '--json', str(WORK / 'report.json'),
        '--report', str(html))
    text = html.read_text()
    for name in ('Packets, mode by mode', 'More pages under one ticket', 'Larger pages',
                 'Larger working sets', 'What would real hardware do?'):
        assert name in text, name


TESTS = [
    neighbours_share_a_descriptor_and_a_ticket,
    granules_are_counted_in_pages_of_4_kib,
    scattered_granules_need_a_descriptor_each,
    allocated_iovas_come_back_and_neighbours_are_found,
    static_and_copy_ask_nothing_of_the_unit,
    deferred_gathers_256_pages_and_measures_its_window,
    strict_waits_for_every_batch,
    several_lcores_share_a_domain_or_have_their_own,
    a_prediction_follows_from_what_was_counted,
    a_unit_in_scalable_mode_is_measured_in_every_stage,
    a_geometry_decides_which_layout_holds_a_rate,
    the_matrix_of_modes_sizes_and_latencies_runs_in_one_command,
    packets_of_a_burst_share_a_descriptor,
    verifying_costs_look_ups,
    a_case_that_fails_is_reported_and_the_others_are_measured,
    a_kernel_that_does_not_remap_is_accepted_by_an_argument,
    a_case_can_be_measured_again_by_its_own_command,
    the_command_line_says_what_is_wrong_with_it,
    an_interrupted_run_keeps_what_it_has,
    progress_is_shown_on_a_terminal_only,
    the_report_is_made_of_every_sweep,
]


if __name__ == '__main__':
    WORK.mkdir(parents=True, exist_ok=True)
    tap.main(TESTS)
