#!/usr/bin/env python3
"""The README says what the program says: --help stats and --help keys stand in it word for word, and
every mode is named. `--record` writes the keys into it.

    readme_test.py QINSPECT README.md [--record]"""
import re
import subprocess
import sys


def main():
    program, path = sys.argv[1:3]
    with open(path, encoding="utf-8") as f:
        readme = f.read()

    def ask(*arguments):
        return subprocess.run([program, *arguments], capture_output=True, check=True, text=True,
                              encoding="utf-8", env={"HOME": "/nonexistent"}).stdout

    keys = "<!-- keys -->\n```\n%s```\n<!-- /keys -->" % ask("--help", "keys")
    if "--record" in sys.argv:
        readme = re.sub(r"<!-- keys -->.*<!-- /keys -->", lambda _: keys, readme, flags=re.S)
        with open(path, "w", encoding="utf-8") as f:
            f.write(readme)

    missing = []
    formulas = "\n".join(line.rstrip() for line in ask("--help", "stats").rstrip().split("\n"))
    if formulas not in readme:
        missing.append("the text of --help stats")
    if keys not in readme:
        missing.append("the text of --help keys: readme_test.py QINSPECT README.md --record writes it")
    for mode in re.findall(r"^  (--[a-z]+) ", ask("--help").split("\nOptions")[0], re.M):
        if mode not in readme:
            missing.append(mode)
    for missed in missing:
        print("not in the README:", missed)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
