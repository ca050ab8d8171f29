#!/usr/bin/env python3
"""Golden tests of the real program: what it prints for the bundled data, and its exit status.

    golden_test.py QINSPECT [--record] [--only WORD]

Each line of cases.txt is a name and the arguments; golden/NAME.txt holds what must come out.
--record writes them anew: read the diff before committing it. Numbers may differ in the last digits
(another libm), measured compression ratios a little (another libzstd).
"""
import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "data")
TOKEN = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|\s+|[^\s\d-]+|.")
TIMED = ("encode_s", "decode_s", "encode_mb_s", "decode_mb_s", "seconds", "tokens_per_s",
         "peak_memory_bytes")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$")


def run(program, arguments, scratch):
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "XDG_DATA_HOME": scratch,
           "TERM": "dumb", "HOME": scratch}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    arguments = [a.replace("{tmp}", scratch) for a in arguments]
    done = subprocess.run([program, *arguments], cwd=DATA, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120)
    text = lambda b: b.decode("utf-8").replace(scratch, "{tmp}").replace("\r\n", "\n")
    return "[stdout]\n%s[stderr]\n%s[status] %d\n" % (text(done.stdout), text(done.stderr),
                                                       done.returncode)


def without_times(text):
    """Seconds, speeds and memory of CSV rows and JSON rows become T."""
    text = re.sub(r'("(?:%s)": ?)[-+.e0-9]+' % "|".join(TIMED), r"\1T", text)
    lines = text.split("\n")
    columns = []
    for i, line in enumerate(lines):
        cells = line.split(",")
        if cells[0] == "run":
            columns = [cells.index(c) for c in TIMED if c in cells]
        elif columns and len(cells) > max(columns):
            for c in columns:
                cells[c] = "T" if cells[c] else ""
            lines[i] = ",".join(cells)
    return "\n".join(lines)


def same(wanted, got, tolerance):
    """Equal but for numbers within the tolerance (relative) and the padding before them."""
    a, b = ([t for t in TOKEN.findall(x) if not t.isspace()] for x in (wanted, got))
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        if x == y:
            continue
        if not (NUMBER.match(x) and NUMBER.match(y)):
            return False
        u, v = float(x), float(y)
        if abs(u - v) > tolerance * max(abs(u), abs(v)):
            return False
    return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    failed = ran = 0
    names = set()
    with open(os.path.join(HERE, "cases.txt"), encoding="utf-8") as cases:
        lines = cases.read().splitlines()
    for line in lines:
        words = shlex.split(line, comments=True)
        if not words or options.only not in words[0]:
            continue
        name, arguments = words[0], words[1:]
        tolerance = 1e-9
        if arguments[0].startswith("tolerance="):
            tolerance = float(arguments.pop(0).split("=")[1])
        timeless = arguments[0] == "timeless"
        if timeless:
            arguments.pop(0)
        if name in names:
            sys.exit("%s stands twice in cases.txt" % name)
        names.add(name)
        ran += 1
        with tempfile.TemporaryDirectory() as scratch:
            got = run(program, arguments, scratch)
        if timeless:
            got = without_times(got)
        path = os.path.join(HERE, "golden", name + ".txt")
        if options.record:
            with open(path, "w", encoding="utf-8", newline="") as out:
                out.write(got)
            continue
        wanted = "(no golden file)\n"
        if os.path.exists(path):
            with open(path, encoding="utf-8", newline="") as golden:
                wanted = golden.read()
        if not same(wanted, got, tolerance):
            failed += 1
            print("FAIL %s: %s" % (name, " ".join(arguments)))
            a, b = wanted.splitlines(), got.splitlines()
            shown = 0
            for i in range(max(len(a), len(b))):
                x = a[i] if i < len(a) else "(nothing)"
                y = b[i] if i < len(b) else "(nothing)"
                if not same(x, y, tolerance) and shown < 5:
                    print("  wanted: %s\n  got:    %s" % (x[:300], y[:300]))
                    shown += 1
    print("%d cases, %d failed" % (ran, failed))
    return 1 if failed or ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
