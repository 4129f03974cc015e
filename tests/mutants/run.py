#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 The moat authors
"""
Breaks one rule at a time and demands that a test fails.

A mutant is a patch, tests/mutants/AREA/NAME.patch. Its head, above the first "diff" line, says

    Broken: what the patch breaks, one sentence
    Program: AREA/NAME of a test program as tests/meson.build lists it; the line may be repeated
    Test: a cmocka test of the program above that must fail; the line may be repeated

    run.py BUILD [NAME...]           check all mutants, or those named (AREA/NAME); prints TAP
    run.py --make BUILD NAME TARGET OUT   build the program TARGET of BUILD with the mutant into the file OUT

BUILD is a build folder that is up to date. For each mutant the sources are copied into a folder in BUILD, the copy is
patched, what depends on the patched files is compiled with BUILD's own command lines, and the program is linked again.
Then each test runs alone: of the program without the mutant it must pass, of the other it must fail.
"""
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ["lib", "drivers", "apps", "tests"]
LIMIT = 300 # seconds that a program may take without a mutant


class Failure(Exception):
    pass


def output(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, errors="replace", **options)
    if done.returncode != 0:
        words = command if isinstance(command, str) else shlex.join(command)
        raise Failure(f"{words[:200]}: status {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


class Mutant:
    """A patch file and what its head says."""

    def __init__(self, name):
        self.name = name
        self.path = os.path.join(TOP, "tests", "mutants", name + ".patch")
        if not os.path.exists(self.path):
            raise Failure(f"there is no mutant {name}: {self.path} does not exist")
        self.broken = None
        self.programs = {} # name -> its tests
        with open(self.path) as f:
            text = f.read()
        for line in text.split("\ndiff ", 1)[0].splitlines():
            key, _, value = line.partition(": ")
            if key == "Broken":
                self.broken = value
            elif key == "Program":
                tests = self.programs.setdefault(value, [])
            elif key == "Test":
                tests.append(value)
        self.files = re.findall(r"^\+\+\+ b/(\S+)", text, re.M)
        if self.broken is None or not self.programs or not all(self.programs.values()) or not self.files:
            raise Failure(f"{self.path}: the head must have Broken:, Program: and Test: lines, and a diff must follow")


class Build:
    """A meson build folder: which commands make which file from what."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        with open(os.path.join(self.folder, "compile_commands.json")) as f:
            self.compile = {unit["output"]: shlex.split(unit["command"]) for unit in json.load(f)}
        self.users = {} # source file, from the top folder -> objects that were made with it
        target = None
        for line in self.ninja("-t", "deps").splitlines():
            if line.startswith("    "):
                path = os.path.relpath(os.path.join(self.folder, line.strip()), TOP)
                self.users.setdefault(path, set()).add(target)
            else:
                target = line.split(": ")[0]
        self.archives = {}
        with open(os.path.join(self.folder, "meson-info", "intro-tests.json")) as f:
            self.tests = {test["name"]: os.path.relpath(test["cmd"][0], self.folder) for test in json.load(f)}

    def program(self, name):
        """The target that a test runs, from its name in tests/meson.build."""
        if name not in self.tests:
            raise Failure(f"{self.folder} has no test program {name}")
        return self.tests[name]

    def ninja(self, *words):
        return output(["ninja", "-C", self.folder, "--quiet", *words])

    def link(self, target):
        """The command that links a program."""
        lines = self.ninja("-t", "commands", "-s", target).strip().splitlines()
        if not lines:
            raise Failure(f"{self.folder} has no target {target}")
        return shlex.split(lines[-1])

    def members(self, archive):
        """The objects in a static library of this build."""
        if archive not in self.archives:
            lines = self.ninja("-t", "query", archive).splitlines()
            self.archives[archive] = [line.strip() for line in lines if line.startswith("    ") and line.endswith(".o")]
        return self.archives[archive]


def compile_objects(build, mutant, objects, copy):
    """Compile what uses the mutant's files, in the patched copy of the sources."""
    cwd = os.path.join(copy, "build") # beside the sources, as BUILD: its command lines say ../lib
    for o in sorted(objects):
        words = [w.replace(TOP + "/", copy + "/") if w.startswith("-I" + TOP) else w for w in build.compile[o]
                 if w not in ("-Werror", "-g")] # a mutant may leave something unused
        words.append("-O1") # the last -O counts; with -O3 and -g a mutant takes a quarter longer
        os.makedirs(os.path.join(cwd, os.path.dirname(o)), exist_ok=True)
        output(words, cwd=cwd)


def make(build, mutant, target, out):
    """Link BUILD's program `target` into `out` with the mutant in it."""
    command = build.link(target)
    used = [w for w in command if w.endswith(".o")]
    archives = [w for w in command if w.endswith(".a") and w in [os.path.relpath(os.path.join(build.folder, w), build.folder)]]
    inside = set(used).union(*(build.members(a) for a in archives))
    changed = set().union(*(build.users.get(f, set()) for f in mutant.files)) & inside
    if not changed:
        raise Failure(f"no object of {target} is made from {' '.join(mutant.files)}")
    with tempfile.TemporaryDirectory(prefix="mutant.", dir=build.folder) as copy:
        for folder in FOLDERS: # hard links: git replaces a file that it patches, and writes to none
            shutil.copytree(os.path.join(TOP, folder), os.path.join(copy, folder), copy_function=os.link)
        # below the ceiling there is no repository: git patches what is in the working directory
        output(["git", "apply", mutant.path], cwd=copy, env=dict(os.environ, GIT_CEILING_DIRECTORIES=build.folder))
        compile_objects(build, mutant, changed, copy)
        new = {o: os.path.join(copy, "build", o) for o in changed}
        for a in archives:
            members = [new.get(o, os.path.join(build.folder, o)) for o in build.members(a)]
            if any(o in changed for o in build.members(a)):
                new[a] = os.path.join(copy, os.path.basename(a))
                output(["ar", "csrT", new[a], *members])
        command = [new.get(w, w) for w in command]
        command[command.index("-o") + 1] = os.path.abspath(out)
        origin = os.path.join(build.folder, os.path.dirname(target))
        command = [w.replace("$ORIGIN", origin) for w in command]
        output(command, cwd=build.folder)


def passes(build, program, test, log, limit=LIMIT):
    """Run one test of a program: whether it passes. One that crashes or hangs does not."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", MOAT_ONE_TEST=test,
               LD_PRELOAD=os.path.join(build.folder, "tests", "libone_test.so"))
    with open(log, "w") as f:
        try:
            status = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT,
                                    timeout=limit, env=env, cwd=TOP).returncode
        except subprocess.TimeoutExpired:
            f.write(f"no end within {limit:.0f} s\n")
            return False
    with open(log, errors="replace") as f:
        # a program may have it several times, with other fixtures
        return status == 0 and set(re.findall(r"^ok \d+ (?:- )?(\S+)", f.read(), re.M)) == {test}


def log_name(logs, *words):
    return os.path.join(logs, "-".join(words).replace("/", "-") + ".log")


def check(build, mutant, program, tests, logs, limits):
    """Why the mutant is not caught; None if it is."""
    with tempfile.TemporaryDirectory(prefix="moat-mutant.") as folder:
        made = os.path.join(folder, "program")
        make(build, mutant, build.program(program), made)
        missed = [t for t in tests if passes(build, made, t, log_name(logs, mutant.name, program, t), limits[program, t])]
    return f"{program}: {', '.join(missed)} passes. Broken: {mutant.broken}" if missed else None


def names():
    folder = os.path.join(TOP, "tests", "mutants")
    return sorted(os.path.relpath(os.path.join(d, f), folder)[:-len(".patch")]
                  for d, _, files in os.walk(folder) for f in files if f.endswith(".patch"))


def check_all(build, wanted, logs):
    """Every mutant against each program in its head, side by side."""
    mutants = [Mutant(n) for n in wanted]
    pairs = [(m, p, t) for m in mutants for p, t in m.programs.items() if not p.startswith("apps/")] # the fwd suite checks those
    plain = {} # program -> the tests that mutants of it must fail
    for _, p, tests in pairs:
        plain.setdefault(p, set()).update(tests)
    number = 0
    failed = False
    print(f"1..{len(plain) + len(pairs)}", flush=True)

    def report(name, job):
        nonlocal number, failed
        number += 1
        try:
            why = job.result()
        except (Failure, OSError, subprocess.TimeoutExpired) as e:
            why = str(e)
        print(f"{'not ok' if why else 'ok'} {number} - {name}")
        for line in (why or "").splitlines():
            print("# " + line)
        sys.stdout.flush()
        failed = failed or bool(why)

    def unbroken(program):
        # A test that fails by itself proves nothing.
        path = os.path.join(build.folder, build.program(program))
        failing = []
        for t in sorted(plain[program]):
            began = time.monotonic()
            if not passes(build, path, t, log_name(logs, "unbroken", program, t)):
                failing.append(t)
            limits[program, t] = 20 + 5 * (time.monotonic() - began)
        return f"without a mutant there is no {', '.join(failing)} that passes alone" if failing else None

    def broken(mutant, program, tests):
        if alone[program].result():
            return f"{program} does not pass unbroken"
        return check(build, mutant, program, tests, logs, limits)

    limits = {}
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("MOAT_JOBS") or os.cpu_count())) as pool:
        alone = {p: pool.submit(unbroken, p) for p in sorted(plain)}
        jobs = [(f"{p} passes unbroken", job) for p, job in alone.items()]
        jobs += [(f"{m.name} is caught by {p}", pool.submit(broken, m, p, t)) for m, p, t in pairs]
        for name, job in jobs:
            report(name, job)
    return 1 if failed else 0


def main(arguments):
    try:
        if len(arguments) == 5 and arguments[0] == "--make":
            make(Build(arguments[1]), Mutant(arguments[2]), arguments[3], arguments[4])
            return 0
        if not arguments or arguments[0].startswith("-"):
            print(__doc__.strip(), file=sys.stderr)
            return 2
        logs = os.path.join(os.environ.get("MOAT_LOGS") or os.path.join(arguments[0], "test-logs"), "mutants")
        os.makedirs(logs, exist_ok=True)
        return check_all(Build(arguments[0]), arguments[1:] or names(), logs)
    except Failure as e:
        print(f"run.py: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
