# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""What bench/targets and bench/compare know of moat-bench's JSON."""

import json
import statistics

# A sample counts as the core's own when a busy neighbour did not slow a probe beside it (see
# moat_bench.h). With fewer of them than this part of all, a run has no such figure.
ENOUGH_ALONE = 0.02


def median(values):
    return statistics.median(values)


class Figure:
    """One bench: its repetitions' cycles per item, all samples and those alone on the core."""

    def __init__(self):
        self.all = []
        self.alone = []
        self.error = None

    def add(self, run):
        if run.get("error_occurred"):
            self.error = run.get("error_message", "error")
            return
        if "cycles" not in run:
            return
        self.all.append(run["cycles"])
        if run.get("cycles_alone", 0) > 0 and run.get("alone", 0) >= ENOUGH_ALONE:
            self.alone.append(run["cycles_alone"])

    def values(self):
        """The samples alone on the core where there are any, else all."""
        return self.alone or self.all

    def cycles(self):
        return median(self.values()) if self.values() else None

    def spread(self):
        """Half of the distance between the quartiles, as a part of the median."""
        v = self.values()
        if len(v) < 2 or not median(v):
            return 0.0
        quartiles = statistics.quantiles(v, n=4, method="inclusive")
        return (quartiles[2] - quartiles[0]) / 2 / median(v)


def of(run, into=None):
    """{name: Figure} of a parsed JSON run, added to `into`."""
    figures = {} if into is None else into
    for bench in run["benchmarks"]:
        if bench.get("run_type", "iteration") == "iteration":
            figures.setdefault(bench["run_name"], Figure()).add(bench)
    return figures


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)
