#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Write moat-perf's results as one self-contained HTML page.

usage: moat-perf-report RESULTS.json REPORT.html
"""

import json
import sys

import page


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith('-'):
        sys.exit(__doc__.strip().splitlines()[-1])
    try:
        with open(sys.argv[1], encoding='utf-8') as file:
            results = json.load(file)
        html = page.render(results)
        with open(sys.argv[2], 'w', encoding='utf-8') as file:
            file.write(html)
    except OSError as error:
        sys.exit(f'moat-perf-report: {error.filename}: {error.strerror}')
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f'moat-perf-report: {sys.argv[1]} is not a result of moat-perf --json: '
                 f'{type(error).__name__} {error}')


if __name__ == '__main__':
    main()
