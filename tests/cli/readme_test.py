#!/usr/bin/env python3
"""The README says what the program says: --help stats stands in it word for word, and every mode
is named.

    readme_test.py QINSPECT README.md"""
import re
import subprocess
import sys


def main():
    program, path = sys.argv[1:]
    with open(path, encoding="utf-8") as f:
        readme = f.read()

    def ask(*arguments):
        return subprocess.run([program, *arguments], capture_output=True, check=True, text=True,
                              encoding="utf-8").stdout

    missing = []
    formulas = "\n".join(line.rstrip() for line in ask("--help", "stats").rstrip().split("\n"))
    if formulas not in readme:
        missing.append("the text of --help stats")
    for mode in re.findall(r"^  (--[a-z]+) ", ask("--help").split("\nOptions")[0], re.M):
        if mode not in readme:
            missing.append(mode)
    for missed in missing:
        print("not in the README:", missed)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
