#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""What the demo's figures mean, in sentences. usage: demo.py SUMMARY.json [--attack]

Exit status 1: a promise was broken (a stale DMA, a stale interrupt), or without --attack something was refused.
"""

import json
import sys


def tenant_sentences(tenant):
    cycles = tenant["cycles_per_packet"]
    look_ups = tenant["iotlb"]["hits"] + tenant["iotlb"]["misses"]
    yield f"{tenant['name']} ({tenant['mode']}): {tenant['rx_packets']} packets, " \
          f"{cycles['total']:.0f} cycles each for protection, {cycles['application']:.0f} to forward them."
    if tenant["mode"] == "static":
        yield "  Its memory was mapped once. Its ports reached all of that, and nothing else; nothing is"
        yield "  unmapped per packet, so all it paid for was looking each received buffer up" \
              f" ({cycles['translate']:.0f} cycles)"
        yield f"  and asking once a turn whether anything waits for the unit ({cycles['reclaim']:.0f})."
    else:
        yield f"  Each buffer was mapped ({cycles['map']:.0f}) and unmapped ({cycles['unmap']:.0f}), its" \
              f" invalidation submitted ({cycles['submit']:.0f}) and awaited"
        yield f"  ({cycles['wait']:.0f}), and the buffer reclaimed ({cycles['reclaim']:.0f}), all before the packet was" \
              " handed on: no device can change a packet that has been received."
    if look_ups:
        hit = tenant["iotlb"]["hits"] / look_ups
        yield f"  {hit:.1%} of {look_ups} look-ups were served by the shadow IOTLB."


def unit_sentences(unit, attack):
    yield f"The unit ({unit['kind']}) took {unit['descriptors']} invalidation descriptors for " \
          f"{unit['pages']} pages, and {unit['waits']} waits."
    if unit["stale_dma"] == 0:
        yield "No DMA reached a page after the promise that none would (stale DMA: 0)."
    else:
        yield f"BROKEN PROMISE: {unit['stale_dma']} DMAs reached pages that had been handed on."
    if unit["stale_interrupts"] == 0:
        yield "No interrupt came by an entry that had been taken back (stale interrupts: 0)."
    else:
        yield f"BROKEN PROMISE: {unit['stale_interrupts']} interrupts came by entries that had been taken back."
    if attack:
        yield f"It refused {unit['faults']} requests: red's attempts, listed above."
    elif unit["faults"] == 0:
        yield "It had nothing to refuse (faults: 0)."
    else:
        yield f"UNEXPECTED: it refused {unit['faults']} requests."


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        summary = json.load(f)
    attack = "--attack" in sys.argv[2:]
    print("\nwhat it means:")
    for tenant in summary["tenants"]:
        print(*tenant_sentences(tenant), sep="\n")
    print(*unit_sentences(summary["unit"], attack), sep="\n")
    print("Cycles are this machine's. They include the work of the NIC's driver, but not that of the software NIC,\n"
          "which is counted as device time. doc/cost.md says how to read the table.")
    unit = summary["unit"]
    broken = unit["stale_dma"] != 0 or unit["stale_interrupts"] != 0
    return int(broken or (unit["faults"] != 0 and not attack))


if __name__ == "__main__":
    sys.exit(main())
