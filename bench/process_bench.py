#!/usr/bin/env python3
"""How does qinspect feel as a whole process?

    bench/process_bench.py [build/qinspect [--ui | --sweeps]]

Prints, on sparse models made for the purpose: wall time and peak memory of --list with 100,000
tensors; of the UI in a pseudo terminal of 120x36 the time to the first frame (to reach: 60 ms), the
bytes sent for one step of scrolling through a table full of figures (4 KiB), the time from `q` to the
prompt while the analysis runs, and the CPU used in three idle seconds (0); peak memory of sweeps of
large weights, beside what --dry-run said. Each time is the best, median and worst of several runs.
With --ui only the UI, with --sweeps only the sweeps.
"""
import fcntl
import json
import os
import pty
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time

RUNS = 7
HERE = os.path.dirname(os.path.abspath(__file__))


def safetensors(path, shapes):
    """A file whose header is real and whose payload is a hole."""
    header, end = {}, 0
    for name, shape in shapes:
        size = 2 * shape[0] * shape[1]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + end)
    return path


def random_weights(path, count):
    """A file of small matrices, each with a scale of its own: every figure of its row differs."""
    generator = random.Random(1)
    header, payload = {}, b""
    for i in range(count):
        name = "model.layers.%d.%s" % (i // 7, ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
                                                "mlp.down_proj")[i % 7])
        shape = [8 * generator.randint(2, 12), 8 * generator.randint(2, 12)]
        scale = 10 ** generator.uniform(-3, 0)
        values = b"".join(struct.pack("<f", generator.gauss(0, scale))[2:]
                          for _ in range(shape[0] * shape[1]))
        header[name + ".weight"] = {"dtype": "BF16", "shape": shape,
                                    "data_offsets": [len(payload), len(payload) + len(values)]}
        payload += values
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + payload)
    return path


def spread(values, unit):
    values = sorted(values)
    return "best %.3f  median %.3f  worst %.3f %s" % (values[0], values[len(values) // 2], values[-1], unit)


def batch(program, env, *arguments):
    """(seconds, peak MiB) of one run with its output thrown away."""
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execve(program, [program, *arguments], env)
    _, status, usage = os.wait4(child, 0)
    if status != 0:
        sys.exit("%s failed with status %d" % (" ".join(arguments), status))
    return time.monotonic() - begin, usage.ru_maxrss / 1024


def sweeps(program, env, folder):
    """Peak memory, without what is mapped of the file, of sweeps on weights of 58.7M numbers."""
    path, rows, cols, count = folder + "/large.safetensors", 14336, 4096, 3
    header, size = {}, 2 * rows * cols
    for i in range(count):
        header["model.layers.%d.mlp.up_proj.weight" % i] = {
            "dtype": "BF16", "shape": [rows, cols], "data_offsets": [i * size, (i + 1) * size]}
    text = json.dumps(header).encode()
    generator = random.Random(1)
    block = b"".join(struct.pack("<f", generator.gauss(0, 0.02))[2:] for _ in range(1 << 16))
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _ in range(count * size // len(block)):
            f.write(block)
    for options in (["zfp", "--rates", "8"], ["zfp", "--reversible"], ["zfp", "--tolerances", "1e-3"],
                    ["ggml", "--types", "Q8_0,Q4_K"], ["rtn"], ["lossless", "--codecs", "planes,zstd"]):
        arguments = ["--quiet", "--threads", "2", "--db", folder + "/large.db", "--sweep", *options, path]
        said = subprocess.run([program, "--dry-run", *arguments], env=env, capture_output=True, text=True)
        title = next(line for line in said.stdout.split("\n") if "of memory" in line)
        child = subprocess.Popen([program, *arguments], env=env, stdout=subprocess.DEVNULL)
        anonymous = 0
        while child.poll() is None:
            with open("/proc/%d/status" % child.pid) as f:
                fields = dict(line.split(":", 1) for line in f if ":" in line)
            anonymous = max(anonymous, int(fields.get("RssAnon", "0 kB").split()[0]))
            time.sleep(0.005)
        if child.returncode != 0:
            sys.exit("sweep %s failed with status %d" % (" ".join(options), child.returncode))
        print("sweep %-32s peak %5.0f MiB   dry run: %s"
              % (" ".join(options), anonymous / 1024, title.split(";")[-1].strip()))


class Screen:
    """The UI in a pseudo terminal."""

    def __init__(self, program, env, path):
        self.begin = time.monotonic()
        self.child, self.fd = pty.fork()
        if self.child == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
            os.execve(program, [program, path], env)

    def read_until(self, text, seconds=30):
        """Seconds from the start until `text` was drawn."""
        seen, deadline = b"", time.monotonic() + seconds
        while text not in seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                sys.exit("%r was not drawn" % text)
            seen += os.read(self.fd, 1 << 16)
        return time.monotonic() - self.begin

    def drain(self, seconds):
        """Reads what is drawn for so long; CPU ticks the process used meanwhile."""
        def ticks():
            with open("/proc/%d/stat" % self.child) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before, deadline = ticks(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                os.read(self.fd, 1 << 16)
        return ticks() - before

    def bytes_after(self, keys):
        """How much is sent until nothing has come for a while after some keys."""
        os.write(self.fd, keys)
        count = 0
        while select.select([self.fd], [], [], 0.25)[0]:
            count += len(os.read(self.fd, 1 << 16))
        return count

    def quit(self):
        """Seconds from `q` to the end of the process."""
        begin = time.monotonic()
        os.write(self.fd, b"q")
        while True:
            done, _ = os.waitpid(self.child, os.WNOHANG)
            if done:
                os.close(self.fd)
                return time.monotonic() - begin
            if select.select([self.fd], [], [], 0.002)[0]:
                try:
                    os.read(self.fd, 1 << 16)
                except OSError:
                    pass  # its end is closed: the process is about to be reaped


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1
                              else os.path.join(HERE, "..", "build", "qinspect"))
    folder = tempfile.mkdtemp(prefix="qinspect-bench-")
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm-256color", "HOME": folder,
           "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_STATE_HOME": folder}
    try:
        many = safetensors(folder + "/many.safetensors", [
            ("model.layers.%d.mlp.experts.%d.%s_proj.weight" % (i // 768, i // 3 % 256, part), [4, 4])
            for i, part in ((i, ("gate", "up", "down")[i % 3]) for i in range(100000))])
        big = safetensors(folder + "/big.safetensors", [
            ("model.layers.%d.mlp.up_proj.weight" % i, [14336, 4096]) for i in range(30)])
        sample = os.path.join(HERE, "..", "tests", "data", "models", "wap")

        if "--ui" not in sys.argv:
            sweeps(program, env, folder)
        if "--sweeps" in sys.argv:
            return
        if "--ui" not in sys.argv:
            os.sync()  # what was just written is written back while nothing is timed
            batch(program, env, "--list", "--csv", "--quiet", many)
            runs = [batch(program, env, "--list", "--csv", "--quiet", many) for _ in range(RUNS)]
            print("--list --csv of 100,000 tensors     ", spread([r[0] for r in runs], "s"),
                  " peak %.0f MiB" % max(r[1] for r in runs))
        first, leave = [], []
        for _ in range(RUNS):
            screen = Screen(program, env, sample)
            first.append(screen.read_until(b"quit"))
            screen.quit()
        print("first frame of the sample model     ", spread(first, "s"))
        figures = random_weights(folder + "/figures.safetensors", 280)
        for depth, more in (("256 colours", {}), ("truecolor", {"COLORTERM": "truecolor"})):
            screen = Screen(program, {**env, **more}, figures)
            screen.read_until(b"280 weights")
            screen.bytes_after(b"")  # the analysis ends
            screen.bytes_after(b"j" * 60)  # the cursor now scrolls the table
            steps = sorted(screen.bytes_after(b"j") for _ in range(9))
            pages = sorted(screen.bytes_after(b"\x04") for _ in range(4))
            print("a step of scrolling, %-12s    median %d  most %d bytes; half a page: most %d"
                  % (depth, steps[len(steps) // 2], steps[-1], pages[-1]))
            screen.quit()
        for _ in range(RUNS):
            screen = Screen(program, env, big)
            screen.read_until(b"ETA")  # the analysis runs
            leave.append(screen.quit())
        print("quitting in the middle of analysis  ", spread(leave, "s"))
        screen = Screen(program, env, sample)
        screen.read_until(b"quit")
        screen.drain(3)  # its analysis has long ended
        print("CPU in three idle seconds            %d ticks" % screen.drain(3))
        screen.quit()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
