# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""Reads moat-bench's JSON, for bench/targets, bench/compare and bench/growth."""

import json
import statistics

# The least share of samples that had the core to themselves (see moat_bench.h). Below it, the figure
# of a run is that of all samples.
ENOUGH_ALONE = 0.02


def median(values):
    return statistics.median(values)


class Figure:
    """The figures of one bench: for each repetition the median of cycles per item, of all samples and
    of those that had the core to themselves."""

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
        """@return the figures of samples that had the core to themselves, if there are any, else all."""
        return self.alone or self.all

    def cycles(self):
        return median(self.values()) if self.values() else None

    def spread(self):
        """@return half of the distance between the quartiles, divided by the median."""
        v = self.values()
        if len(v) < 2 or not median(v):
            return 0.0
        quartiles = statistics.quantiles(v, n=4, method="inclusive")
        return (quartiles[2] - quartiles[0]) / 2 / median(v)


def of(run, into=None):
    """@return {name: Figure} of a parsed JSON run; added to `into`, if that is given."""
    figures = {} if into is None else into
    for bench in run["benchmarks"]:
        if bench.get("run_type", "iteration") == "iteration":
            figures.setdefault(bench["run_name"], Figure()).add(bench)
    return figures


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)
