#!/usr/bin/env python3
"""Hostile text from files on every screen: not one raw control byte reaches the terminal.

    hostile_test.py QINSPECT CORPUS

Opens each file of the malformed corpus, and files made here whose names, metadata and values are full
of escape sequences, bidirectional overrides, invisible and wide characters, in a pseudo terminal;
walks over all screens; and reads everything the program sends with a parser that knows only what the
program may send. After each walk Ctrl-l asks for a whole frame, which tells that the walk is done.
"""
import base64
import concurrent.futures
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unicodedata

DEADLINE_S = 60
CLEAR = b"\x1b[H\x1b[2J"

# What terminfo says of xterm-256color, mouse and paste modes, and OSC 52 with its base64. None of it
# stands in HOSTILE: colours are those of a truecolor terminal, and what is copied is not "evil".
NUMBER = r"(?:[01247]|2[247]|[34]9|[34]8;2;\d+;\d+;\d+)"
SEQUENCE = re.compile(
    rf"\x1b(?:\[(?:{NUMBER}?m|{NUMBER}(?:;{NUMBER})+m|\d+;\d+H|\d+[GC]|K|H\x1b\[2J|2[23];0;0t"
    r"|\?(?:1|12|25|1049|1002|1006|2004)[hl])|\(B|[=>]|\]52;c;(?!ZXZpbA)[A-Za-z0-9+/=]*\x07)")

# (what, keys, words that must be drawn meanwhile; None: there may be nothing to show). After each
# "|" the screen is drawn; Esc at the end leads back to the list of weights.
WALKS = [
    ("list", "jjj|G|g|G\x06\x02|", None),
    ("tree", "\t\r|\r|jj|l\r|\t|", None),
    ("columns", "C|jj |\x1b|", None),
    ("sorting", "s|s|S|ss|s|s|S|s|s|s|S|g", None),
    ("filter", "/|e|\r|\x1b|/zzz|\x1b|", None),
    ("weight", "\r|jjjj|\t|\tjj|z|z|a|f|+|-|t|G|g]|]|]|[|\x1b\x1b|", None),
    ("marks", " j |U|", None),
    ("copy", "g\t\t|y|", "copied"),
    ("heat map", "H|jjj|lll|s|s|a|+|-|\rjj|\x1b|\x1b|", "Heat map"),
    ("metadata", "m|jjj\r|\r|G|g|/e|\r|nN|\x1b|Gy|\x1b|", "Metadata"),
    ("verify", "v|jj|G|g|S|\x1b|", "Verify"),
    ("diff", "d|{other}\r|jj|s|S|\r|\x1b|\x1b|\x1b|", "Diff"),
    ("jobs", "J|jj|\r|G|\x1b|\x1b|", "Jobs"),
    ("log", "L|jj|G|g|s|s|\x1b|", "Log"),
    ("help", "?|jj|G|/e\r|\x1b|\x1b|", "Keys, commands, columns"),
    ("completion", ":\t|\t|\x1b|:goto \t|\t|\t\x1b|:filter \t|\x1b|:mark \t\r|:sort \t|\x1b|", None),
    ("commands", ":goto zzz\r|:theme dark\r|:filter e\r|\x1b|:nothing\r|:open /no/such/file\r|"
     "\x1b|\x1b|", None),
    ("export", "e|\x1b|", None),
]
SHORT = [walk for walk in WALKS if walk[0] in ("list", "weight", "heat map", "metadata", "log")]
MESSAGE = [("message", "j|y|L|G|\x1b|", None)]

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP1$r\x1b\\",
    "a\x00b\x01c\x7f",
    "line\nfeed\rreturn\ttab\x0bvt\x0cff\x08bs",
    "c1\x9b31m\x9d52;c;x\x9c\x84\x85",
    "\u202egnirts\u202c\u2066iso\u2069\u200e\u200f\u061c",
    "zero\u200bwidth\u200c\u200d\u2060\ufeff\u00ad",
    "separators\u2028\u2029\u180e\ufff9\ufffb",
    "tag\U000e0001\U000e0041\U000e007f",
    "e\u0301" + "\u0301" * 60,
    "漢字かな漢字かな漢字かな",
    "👩\u200d👩\u200d👧\U0001f1e9\U0001f1ea❤\ufe0f",
    "\U0010ffff\ue000\ufdd0",
    "back\\slash \"quote\" 'quote' <b>&amp; %s %n ${HOME} $(id) `id`",
    "=cmd|' /C calc'!A0",
    "العربية עברית",
    "long" * 200,
]


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


# --- files


def hostile_safetensors(path, config=False):
    header, end = {}, 0
    metadata = {}
    for i, text in enumerate(HOSTILE):
        metadata[text] = HOSTILE[-1 - i]
        for name in (text, "model.layers.%d.self_attn.q_proj.%s.weight" % (i, text)):
            header[name] = {"dtype": "BF16", "shape": [4, 4], "data_offsets": [end, end + 32]}
            end += 32
    header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"\x80\x3f" * (end // 2))


def hostile_folder(folder):
    os.mkdir(folder)
    hostile_safetensors(os.path.join(folder, "model.safetensors"))
    config = {text: [text, {text: text}] for text in HOSTILE}
    config["architectures"] = [HOSTILE[0]]
    config["model_type"] = HOSTILE[7]
    config["quantization_config"] = {"quant_method": HOSTILE[0], "bits": HOSTILE[1]}
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        with open(os.path.join(folder, name), "w") as f:
            json.dump(config, f)
    tokens = {text: i for i, text in enumerate(HOSTILE)}
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump({"version": HOSTILE[0], "model": {"type": HOSTILE[2], "vocab": tokens, "merges": []},
                   "added_tokens": [{"id": i, "content": text, "special": True}
                                    for i, text in enumerate(HOSTILE)]}, f)


def hostile_gguf(path):
    texts = [t.encode("utf-8")[:60] for t in HOSTILE] + [b"\xff\xfe\xc3\x28\xed\xa0\x80\xf8"]

    def string(b):
        return struct.pack("<Q", len(b)) + b
    pairs = [string(b"general.architecture") + struct.pack("<I", 8) + string(texts[0]),
             string(b"general.name") + struct.pack("<I", 8) + string(texts[7]),
             string(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, len(texts)) +
             b"".join(string(t) for t in texts)]
    for i, text in enumerate(texts):
        pairs.append(string(b"k%d." % i + text) + struct.pack("<I", 8) + string(texts[-1 - i] * 9))
    infos, offset = [], 0
    for i, text in enumerate(texts):
        infos.append(string(b"%d" % i + text[:58]) + struct.pack("<IQQIQ", 2, 8, 4, 0, offset))
        offset += 128
    out = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    out += b"\0" * (-len(out) % 32)
    with open(path, "wb") as f:
        f.write(out + struct.pack("<f", 1.0) * (offset // 4))


# --- what the program sends


def check_stream(data, where):
    """Only sequences the program may send; all else, and what is copied, is text that can be seen."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as bad:
        raise Failure(f"{where}: not UTF-8: {data[max(0, bad.start - 20):bad.start + 20]!r}")
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\x1b":
            found = SEQUENCE.match(text, at)
            check(found, f"{where}: an unknown sequence {text[at:at + 20]!r}")
            at = found.end()
            copied = found.group().removeprefix("\x1b]52;c;")
            if copied != found.group():
                check_stream(base64.b64decode(copied[:-1]), f"{where}, copied")
            continue
        # Cn, unassigned, depends on the Unicode version of the Python at hand.
        good = unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or char == "\u200d"
        check(good, f"{where}: {char!r} in {text[max(0, at - 20):at + 20]!r}")
        at += 1


class Program:
    def __init__(self, program, path, folder, size):
        self.path = path
        self.data = bytearray()
        self.child, self.fd = pty.fork()
        if self.child == 0:
            env = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "HOME": folder,
                   "XDG_RUNTIME_DIR": folder, "COLORTERM": "truecolor"}
            os.execve(program, [program, "--refresh", "120", "--threads", "1", path], env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def read_some(self, until, what):
        left = max(0, until - time.monotonic())
        check(select.select([self.fd], [], [], left)[0],
              f"{self.path!r}: waited for {what}; last came\n{bytes(self.data[-300:])!r}")
        try:
            block = os.read(self.fd, 65536)
        except OSError:
            return False
        self.data += block
        return bool(block)

    def wait_for(self, holds, what):
        until = time.monotonic() + DEADLINE_S
        while not holds():
            check(self.read_some(until, what), f"{self.path!r}: the program ended before {what}")

    def type(self, keys):
        """Sends keys and waits for the whole frame that is drawn after them."""
        frames = self.data.count(CLEAR)
        os.write(self.fd, keys + b"\x0c")
        # The clear of a frame, and something after it.
        self.wait_for(lambda: self.data.count(CLEAR) > frames and not self.data.endswith(CLEAR),
                      f"the frame after {keys!r}")

    def quit(self):
        """Out of everything; the status."""
        os.write(self.fd, b"\x1b\x1b\x1b\x1bQq")
        until = time.monotonic() + DEADLINE_S
        try:
            while self.read_some(until, "the end"):
                pass
        except Failure:
            os.kill(self.child, signal.SIGKILL)
            raise
        finally:
            os.close(self.fd)
            _, status = os.waitpid(self.child, 0)
        return os.waitstatus_to_exitcode(status)


def walk(program, path, folder, walks, size, opens):
    where = repr(os.path.basename(path))
    run = Program(program, path, folder, size)
    shown = b"weights" if opens else b""
    run.wait_for(lambda: b"\x1b[?2004h" in run.data and (not shown or b" weight" in run.data or
                                                      b"Several" in run.data or b"models" in run.data),
                 "its first frame")
    for name, keys, words in walks:
        begin = len(run.data)
        for step in keys.rstrip("|").split("|"):
            run.type(step.replace("{other}", os.path.join(folder, "other.safetensors")).encode())
        if words and opens:
            run.wait_for(lambda: words in re.sub(SEQUENCE, "", run.data[begin:].decode("utf-8", "replace")),
                         f"{name} shows {words!r}")
    status = run.quit()
    check(status == 0, f"{where}: status {status}")
    check_stream(bytes(run.data), where)


def check_parser():
    """The parser lets nothing of the hostile text pass that the terminal would act on."""
    for text in HOSTILE[:11]:
        try:
            check_stream(f"row {text} row".encode(), "parser")
        except Failure:
            continue
        raise AssertionError(f"{text!r} passes")


def main():
    check_parser()
    program, corpus = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    folder = tempfile.mkdtemp(prefix="qi-hostile-")
    begin = time.monotonic()
    try:
        mine = [os.path.join(folder, "evil \x1b[31m\u202e漢\n.safetensors"),
                os.path.join(folder, "evil\x9b31m.gguf"), os.path.join(folder, "folder\x1b[2J")]
        hostile_safetensors(mine[0])
        hostile_gguf(mine[1])
        hostile_folder(mine[2])
        hostile_safetensors(os.path.join(folder, "other.safetensors"))
        jobs = [(path, WALKS, size, True) for path in mine
                for size in ((120, 36), (80, 24), (60, 15))]
        with open(os.path.join(corpus, "manifest.json")) as f:
            cases = [os.path.join(corpus, case["path"]) for case in json.load(f)["cases"]]
        for path in cases:
            if not os.path.exists(path):
                continue
            listed = subprocess.run([program, "--list", "--csv", path], capture_output=True,
                                    stdin=subprocess.DEVNULL, env={"HOME": folder})
            opens = listed.returncode == 0
            jobs.append((path, SHORT if opens else MESSAGE, (120, 36), opens))
        # The programs mostly wait for their next frame.
        with concurrent.futures.ProcessPoolExecutor(max_workers=6) as pool:
            for done in [pool.submit(walk, program, path, folder, *job) for path, *job in jobs]:
                done.result()
    except Failure as failure:
        print(f"FAILED: {failure}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(jobs)} walks in {time.monotonic() - begin:.0f} s: nothing but text and known sequences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
