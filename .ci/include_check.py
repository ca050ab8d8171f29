#!/usr/bin/env python3
"""Every #include must follow the arrows app → views → eval → engine, and inside engine those below.

Run at the top of the project; prints each include that points back and exits 1 if there is one."""
import pathlib
import re
import sys

# room: rooms it may include (its own is always allowed)
ENGINE = {
    "engine/text": [],
    "engine/io": ["engine/text"],
    "engine/tensor": ["engine/io", "engine/text"],
    "engine/codec": ["engine/tensor", "engine/io", "engine/text"],
    "engine/quant": ["engine/tensor", "engine/io", "engine/text"],
    "engine/format": ["engine/codec", "engine/quant", "engine/tensor", "engine/io", "engine/text"],
    "engine/stats": ["engine/codec", "engine/tensor", "engine/io", "engine/text"],
    "engine/jobs": ["engine/io", "engine/text"],
    "engine/matrix": ["engine/io", "engine/text"],
    "engine/checkpoint": ["engine/format", "engine/matrix", "engine/quant", "engine/tensor", "engine/io", "engine/text"],
    "engine/calibrated": ["engine/matrix", "engine/quant", "engine/tensor", "engine/io", "engine/text"],
    "engine/methods": ["engine/calibrated", "engine/codec", "engine/quant", "engine/tensor", "engine/io", "engine/text"],
}
ENGINE["engine"] = list(ENGINE)
ARROWS = dict(ENGINE)
ARROWS["eval/tokenizer"] = ["engine"] + list(ENGINE)
ARROWS["eval/transformer"] = ["engine"] + list(ENGINE)
ARROWS["eval/check"] = ARROWS["eval/results"] = ARROWS["eval/tokenizer"]
ARROWS["eval/evaluation"] = ["eval/check", "eval/results", "eval/tokenizer", "eval/transformer"] + (
    ARROWS["eval/tokenizer"]
)
ARROWS["eval/calibration"] = ["eval/tokenizer", "eval/transformer"] + ARROWS["eval/tokenizer"]
ARROWS["eval/quantize"] = ["eval/calibration"] + ARROWS["eval/calibration"]
ARROWS["eval/sweep"] = ["eval/evaluation", "eval/calibration"] + ARROWS["eval/evaluation"]
ARROWS["views"] = ["eval/sweep", "eval/quantize"] + ARROWS["eval/sweep"]
ARROWS["views/term"] = ["views"] + ARROWS["views"]
ARROWS["app"] = ["views/term"] + ARROWS["views/term"]

# library header: where alone it may stand
ONLY_IN = [
    (re.compile(r"(n?curses|term)\.h|ncursesw?/"), "views/term/"),
    (re.compile(r"SQLiteCpp/|sqlite3\.h"), "eval/results/"),
    (re.compile(r"CLI/"), "app/"),
    (re.compile(r"pcre2\.h"), "eval/tokenizer/"),
    (re.compile(r"(cblas|dlfcn)\.h"), "engine/matrix/blas.cpp"),
]


def room_of(path):
    """The deepest room that holds `path` (app's sub-folders are app)."""
    parts = pathlib.PurePosixPath(path).parts[:-1]
    for n in range(len(parts), 0, -1):
        if "/".join(parts[:n]) in ARROWS:
            return "/".join(parts[:n])
    return None


def main():
    bad = 0
    for top in ("app", "engine", "views", "eval"):
        for source in sorted(pathlib.Path(top).rglob("*")):
            if source.suffix not in (".h", ".cpp"):
                continue
            room = room_of(source.as_posix())
            for number, line in enumerate(source.read_text().splitlines(), 1):
                quoted = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
                angled = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
                if quoted:
                    to = room_of(quoted.group(1))
                    if to and to != room and to not in ARROWS[room]:
                        print(f"{source}:{number}: {room} must not include {to}")
                        bad += 1
                for pattern, place in ONLY_IN:
                    if (angled and pattern.match(angled.group(1))
                            and not source.as_posix().startswith(place)):
                        print(f"{source}:{number}: {angled.group(1)} belongs to {place}* alone")
                        bad += 1
    print("includes follow the arrows" if not bad else f"{bad} includes point back")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
