#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""moat-fwd's control socket: queues move between tenants under traffic, and impossible moves are refused with a
text.

usage: control.py MOAT-FWD [FOLDER]

FOLDER has a moat-fwd for each mutant of tests/mutants/fwd, named like the mutant.

Needs no root, no hugepages, no network. Prints TAP. MOAT_MOVES is how often queues move: a multiple of 4, at most 400
(the test reads what moat-fwd prints about each move at the end).
"""

import os
import re
import signal
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import tap  # noqa: E402 (beside this file)
from forward import FWD, MUTANTS, Run, captured, port, tenant, two_tenants  # noqa: E402

PASID_UNIT = "[unit soft0]\nkind = soft\nargs = oracle=1,scalable=1,mode=scalable,stage={}\n"
RED, BLUE = "02:00:00:00:00:01", "02:00:00:00:00:02"
USUAL = "tests expect a moat-fwd that listens"


class Control:
    """A moat-fwd with a control socket, and a connection to it."""

    def __init__(self, config, *args, path=None, program=FWD):
        self.folder = tempfile.TemporaryDirectory(prefix="moat-test-")
        self.path = path or os.path.join(self.folder.name, "control")
        self.run = Run(config, "--control", self.path, *args, program=program)
        self.socket = self.connect()

    def connect(self, seconds=30):
        deadline = time.monotonic() + seconds
        while True:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(30)
            try:
                s.connect(self.path)
                self.lines = s.makefile("r")
                return s
            except OSError:
                s.close()
            assert self.run.process.poll() is None, self.run.process.communicate()
            assert time.monotonic() < deadline, USUAL
            time.sleep(0.05)

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\n")
        return self.lines.readline().rstrip("\n")

    def end(self, noise=None):
        """End moat-fwd. `noise`: a text that lines on standard error may contain; None: there must be no
        lines."""
        self.socket.close()
        self.run.process.send_signal(signal.SIGTERM)
        if noise is None:
            return self.run.succeeded()
        self.run.end()
        assert self.run.status == 0, (self.run.status, self.run.err)
        assert all(noise in line for line in self.run.err.splitlines()), self.run.err
        return self.run


def moved(answer):
    """@return the gap in us, from the answer to a move"""
    match = re.fullmatch(r"ok gap_us=([0-9]+\.[0-9]) delivered=[0-9]+", answer)
    assert match, answer
    return float(match[1])


def whole(summary):
    """Check a summary: nothing stale, nothing refused, every packet sent or counted, every buffer back."""
    assert summary["unit"]["stale_dma"] == summary["unit"]["faults"] == 0, summary["unit"]
    for t in summary["tenants"]:
        assert t["tx_packets"] + t["drops"] == t["rx_packets"], t
        assert t["buffers"]["missing"] == 0, t
        assert not any(n for why, n in t["discarded"].items() if why != "starved"), t


def shared(red, blue, stage="second", backing="net_null", red_more="", blue_more=f"match = mac {BLUE}"):
    queues = f"backing = {backing}\nqueues = 2\nrequesters = pasid\n"
    return (PASID_UNIT.format(stage) + f"[port p0]\n{queues}[port p1]\n{queues}"
            + tenant("red", "p0:0 p1:0", red, "buffers = 8000\nlcores = 0\n" + red_more)
            + tenant("blue", "p0:1 p1:1", blue, "buffers = 8000\nlcores = 0\n" + blue_more))


def capture(folder, *destinations):
    """Write a capture file of frames to these addresses, which net_pcap repeats for ever."""
    return captured(folder, destinations * 16) + ",infinite_rx=1"


def queues_move_to_and_fro_under_traffic():
    moves = int(os.environ.get("MOAT_MOVES", 60))
    for red, blue, stage in (("strict", "pipelined", "second"), ("static", "copy", "first"), ("deferred", "strict", "first")):
        c = Control(shared(red, blue, stage))
        longest = 0
        for i in range(moves):
            name, owner = f"p{i % 2} 0", "blue" if i // 2 % 2 == 0 else "red"
            longest = max(longest, moved(c.ask(f"move {name} {owner}")))
        assert c.ask("queues") == "ok p0:0=red p0:1=blue p1:0=red p1:1=blue", c.ask("queues")
        done = c.end()
        whole(done.summary)
        reds = done.summary["tenants"][0]
        assert reds["rx_packets"] > 1000, reds
        assert done.out.count(" without frames\n") == moves, done.out
        print(f"# {red} and {blue}: {moves} moves, longest gap {longest} us")
    assert moves % 4 == 0, "MOAT_MOVES must be a multiple of 4"


def a_pair_of_queues_forwards_between_its_ports_for_its_new_tenant():
    c = Control(shared("strict", "pipelined", red_more=f"match = mac {RED}", blue_more=""))
    moved(c.ask("move p0 0 blue"))
    moved(c.ask("move p1 0 blue"))
    assert c.ask("queues") == "ok p0:0=blue p0:1=blue p1:0=blue p1:1=blue", c.ask("queues")
    time.sleep(0.5)
    whole(c.end().summary)


def frames_of_a_tenant_whose_queue_went_reach_no_other(program=FWD):
    with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
        for red_more in f"match = mac {RED}", "": # red gets its own frames only, or all that match no other tenant
            c = Control(shared("strict", "strict", backing=capture(folder, BLUE), red_more=red_more), program=program)
            time.sleep(0.3)
            for _ in range(3):
                moved(c.ask("move p0 1 red"))
                moved(c.ask("move p1 1 red"))
                time.sleep(0.1)
                moved(c.ask("move p0 1 blue"))
                moved(c.ask("move p1 1 blue"))
                time.sleep(0.1)
            summary = c.end("still holds").summary # net_pcap keeps the frames that it repeats
            whole(summary)
            red, blue = summary["tenants"]
            assert blue["rx_packets"] > 1000, summary
            assert red["rx_packets"] == 0, f"red has {red['rx_packets']} packets of blue's"


def a_move_that_does_not_steer_first_is_noticed():
    if MUTANTS is None:
        return "no folder of programs with mutants was named"
    try:
        frames_of_a_tenant_whose_queue_went_reach_no_other(os.path.join(MUTANTS, "steer-not-away"))
    except AssertionError as e:
        assert re.fullmatch("red has [0-9]+ packets of blue's", str(e)), e
    else:
        raise AssertionError("it was not noticed")


def a_port_goes_to_a_tenant_with_all_its_frames():
    conf = (PASID_UNIT.format("second") + port("p0", "requesters = pasid") + port("p1", "requesters = pasid")
            + tenant("red", "p0", "strict", "buffers = 8000\nlcores = 0") + tenant("blue", "p1", "static", "buffers = 8000\nlcores = 0"))
    c = Control(conf)
    time.sleep(0.2)
    for owner in "blue", "red", "blue":
        moved(c.ask(f"move p0 0 {owner}"))
        time.sleep(0.2)
    summary = c.end().summary
    whole(summary)
    assert all(t["rx_packets"] > 1000 and t["drops"] == 0 for t in summary["tenants"]), summary


def what_cannot_be_is_refused_in_words():
    c = Control(shared("strict", "static"))
    for line, answer in (
            ("", "error: '' is not a command; the commands are: move PORT QUEUE TENANT, and queues"),
            ("stop", "error: 'stop' is not a command; the commands are: move PORT QUEUE TENANT, and queues"),
            ("move p0 0", "error: 'move' is not a command; the commands are: move PORT QUEUE TENANT, and queues"),
            ("move p7 0 blue", "error: there is no port 'p7'; 'queues' lists what there is"),
            ("move p0 2 blue", "error: port p0 has no queue '2'; it has 2, from 0"),
            ("move p0 -1 blue", "error: port p0 has no queue '-1'; it has 2, from 0"),
            ("move p0 0 green", "error: there is no tenant 'green'; 'queues' lists what there is"),
            ("move p0 0 red", "error: queue 0 of port p0 is tenant red's already")):
        assert c.ask(line) == answer, (line, c.ask(line))
    # Several lines at once; a second client; a silent client disconnects, and so does one that never ends its line.
    c.socket.sendall(b"queues\nqueues\nstop\n")
    for _ in range(2):
        assert c.lines.readline() == "ok p0:0=red p0:1=blue p1:0=red p1:1=blue\n"
    assert c.lines.readline().startswith("error: 'stop'")
    first = c.socket
    c.socket = c.connect()
    assert c.ask("queues").startswith("ok p0:0=red")
    first.close()
    c.socket.sendall(b"x" * 1000)
    try:
        assert c.socket.recv(1) == b""
    except ConnectionResetError:
        pass
    whole(c.end().summary)


def configurations_that_keep_their_queues_say_why():
    for config, args, line, answer in (
            (two_tenants(), (), "move p0 0 blue", None),
            (two_tenants().replace("[port p0]", "[port p0]\nqueues = 2").replace("[port p1]", "[port p1]\nqueues = 2"), (),
             "move p0 1 blue", "error: the queues of port p0 are one requester, so they belong to one tenant; write "
             "'requesters = queue' or 'requesters = pasid' in the file"),
            (shared("strict", "strict", red_more="forward = l2"), (), "move p0 0 blue",
             "error: tenant red has forward = l2, and a bridge's ports do not change"),
            ("[fwd]\nidle = posted\n" + two_tenants(), (), "move p0 0 blue",
             "error: with idle = posted no queue moves, because each has an interrupt"),
            (two_tenants(), ("--attack",), "move p0 0 blue", "error: with --attack no queue moves"),
            (two_tenants().replace("[port p0]", "[port p0]\nqueues = 2\nrequesters = queue")
             .replace("[port p1]", "[port p1]\nqueues = 2\nrequesters = queue"), (), "move p0 1 blue",
             "error: tenants red and blue would share port p0, and neither has a 'match'; give one of them a 'match' of "
             "its own"),
            (two_tenants("static", "static").replace("[port p0]", "[port p0]\nrx_descriptors = 4096"), (),
             "move p0 0 blue", "error: net_moat_p0: rx queue 0: pool 'blue' has fewer than 4096 buffers left for the ring; "
             "make the pool larger or the ring smaller")):
        c = Control(config, *args)
        if answer:
            got = c.ask(line)
            assert got == answer, got
        else:
            moved(c.ask(line))
        if args:
            c.run.process.kill()
            c.run.end()
            continue
        whole(c.end().summary)


def only_the_owner_may_use_the_socket_and_it_goes_with_moat_fwd():
    c = Control(two_tenants())
    mode = os.stat(c.path).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)
    c.end()
    assert not os.path.lexists(c.path)


def the_socket_of_a_moat_fwd_that_was_killed_is_replaced():
    with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
        path = os.path.join(folder, "control")
        c = Control(two_tenants(), path=path)
        c.run.process.kill()
        c.run.end()
        assert os.path.lexists(path)
        c = Control(two_tenants(), path=path)
        assert c.ask("queues") == "ok p0:0=red p1:0=red p2:0=blue p3:0=blue", c.ask("queues")
        # A socket on which another process listens is not replaced, and neither is a file.
        run = Run(two_tenants(), "--control", path, "--seconds", "1").end()
        assert run.status == 1, (run.status, run.err)
        assert (f"moat-fwd: no control socket: control = {path}: another process listens there, or the file is not a "
                "socket; name another path, or remove the file\n" in run.err), run.err
        run = Run(two_tenants(), "--control", __file__, "--seconds", "1").end()
        assert run.status == 2 and run.err == (f"moat-fwd: --control {__file__}: the file there is not a socket; name "
                                               "another path, or remove the file\n"), (run.status, run.err)
        assert c.ask("queues").startswith("ok ")
        whole(c.end().summary)


def the_file_may_name_the_socket_and_the_command_line_another():
    with tempfile.TemporaryDirectory(prefix="moat-test-") as folder:
        path = os.path.join(folder, "from-file")
        run = Run(f"[fwd]\ncontrol = {path}\n" + two_tenants(), "--seconds", "2")
        deadline = time.monotonic() + 30
        while not os.path.exists(path):
            assert run.process.poll() is None and time.monotonic() < deadline, USUAL
            time.sleep(0.02)
        whole(run.succeeded().summary)
        c = Control(f"[fwd]\ncontrol = {path}\n" + two_tenants())
        assert not os.path.exists(path)
        whole(c.end().summary)
        run = Run(two_tenants(), "--control", "/" + "x" * 200, "--seconds", "1").end()
        assert run.status == 2 and "the path has 201 bytes; 107 are the most" in run.err, (run.status, run.err)


TESTS = [
    queues_move_to_and_fro_under_traffic,
    a_pair_of_queues_forwards_between_its_ports_for_its_new_tenant,
    frames_of_a_tenant_whose_queue_went_reach_no_other,
    a_move_that_does_not_steer_first_is_noticed,
    a_port_goes_to_a_tenant_with_all_its_frames,
    what_cannot_be_is_refused_in_words,
    configurations_that_keep_their_queues_say_why,
    only_the_owner_may_use_the_socket_and_it_goes_with_moat_fwd,
    the_socket_of_a_moat_fwd_that_was_killed_is_replaced,
    the_file_may_name_the_socket_and_the_command_line_another,
]


if __name__ == "__main__":
    tap.main(TESTS)
