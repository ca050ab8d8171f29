#!/usr/bin/env python3
"""The README says what the program says: --help stats, --help keys and an evaluation of the bundled
model stand in it word for word (but for the last digits of numbers), and every mode is named. `--record` writes
keys and evaluation into it.

    readme_test.py QINSPECT README.md [--record]"""
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile

from golden_test import same

STORIES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "models",
                       "stories260K")
PERPLEXITY = ["--eval", "ppl", "--protocol", "llama.cpp", "--context", "256", "--limit", "32",
              "--text", "eval.txt"]


def evaluations(ask):
    """What the bundled model's quantized files give, beside what llama.cpp gave."""
    with open(os.path.join(STORIES, "reference.json"), encoding="utf-8") as f:
        llama_cpp = json.load(f)["llama_cpp"]
    lines = ["```", "qinspect " + " ".join(PERPLEXITY) + " pad192-Q8_0.gguf", "```", "",
             "| file | bits per weight | perplexity | llama.cpp's |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("F32", "Q8_0", "Q4_K_M", "Q5_1", "IQ4_NL", "Q4_0"):
            table = ask(*PERPLEXITY, "quantized/pad192-%s.gguf" % name, "--csv", "--quiet", "--db",
                        scratch + "/r.db", cwd=STORIES)
            row = next(csv.DictReader(io.StringIO(table)))
            known = llama_cpp.get("pad192-%s@32" % name) or llama_cpp["orig-F32@32"]
            lines.append("| pad192-%s | %.2f | %.4f ± %.4f | %.4f ± %.4f |" % (
                name, float(row["bits_per_weight"]), float(row["value"]), float(row["stderr"]),
                known["ppl"], known["stderr"]))
    return "\n".join(lines)


def main():
    program, path = sys.argv[1:3]
    with open(path, encoding="utf-8") as f:
        readme = f.read()

    def ask(*arguments, **more):
        return subprocess.run([os.path.abspath(program), *arguments], capture_output=True, check=True,
                              text=True, encoding="utf-8", env={"HOME": "/nonexistent"}, **more).stdout

    keys = "<!-- keys -->\n```\n%s```\n<!-- /keys -->" % ask("--help", "keys")
    marked = re.compile(r"<!-- eval -->\n(.*)\n<!-- /eval -->", re.S)
    measured = evaluations(ask)
    if "--record" in sys.argv:
        readme = re.sub(r"<!-- keys -->.*<!-- /keys -->", lambda _: keys, readme, flags=re.S)
        readme = marked.sub(lambda _: "<!-- eval -->\n%s\n<!-- /eval -->" % measured, readme)
        with open(path, "w", encoding="utf-8") as f:
            f.write(readme)

    missing = []
    formulas = "\n".join(line.rstrip() for line in ask("--help", "stats").rstrip().split("\n"))
    if formulas not in readme:
        missing.append("the text of --help stats")
    if keys not in readme:
        missing.append("the text of --help keys: readme_test.py QINSPECT README.md --record writes it")
    shown = marked.search(readme)
    if not shown or not same(shown.group(1), measured, 1e-4):
        missing.append("the evaluations: readme_test.py QINSPECT README.md --record writes them")
    for mode in re.findall(r"^  (--[a-z]+) ", ask("--help").split("\nOptions")[0], re.M):
        if mode not in readme:
            missing.append(mode)
    for missed in missing:
        print("not in the README:", missed)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
