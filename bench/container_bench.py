#!/usr/bin/env python3
"""How fast are encoding and decoding from file to file, beside `zstd -1`, and what does a second thread add?

    bench/container_bench.py [build/qinspect [MiB [rounds [folder]]]]

In a folder on tmpfs (/dev/shm): a model of so many MiB (512) of bf16 weights drawn as t(8) rows, as one
file and as four shards, is encoded and decoded by whole processes, verification included, with one and
with two threads. `zstd -1` of one thread does the same with the one file. Rounds (7) take all of them in
turn; printed are medians, and ratios of medians: to zstd's, and of two threads to one (to reach, one
thread: decode 1.5, encode 1.3 times zstd's speed; two threads: 1.7 times one).
"""
import json
import math
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROWS, COLS = 4096, 4096  # of a tensor
DRAWN_ROWS = 256
SHARDS = 4


def drawn_rows():
    """Rows of t(8)-like bf16 numbers, each with a scale of its own."""
    generator = random.Random(1)
    rows = []
    for _ in range(DRAWN_ROWS):
        scale = 0.02 * math.exp(0.25 * generator.gauss(0, 1)) * math.sqrt(0.75)
        rows.append(b"".join(
            struct.pack("<f", scale * generator.gauss(0, 1) / math.sqrt(generator.gammavariate(4, 2) / 8))[2:]
            for _ in range(COLS)))
    return rows


def write_shard(path, rows, first, count):
    """`count` tensors, each with the rows in an order of its own: no two are the same."""
    size = 2 * ROWS * COLS
    header = {"model.layers.%d.mlp.up_proj.weight" % (first + i): {
        "dtype": "BF16", "shape": [ROWS, COLS], "data_offsets": [i * size, (i + 1) * size]}
        for i in range(count)}
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for i in range(count):
            order = random.Random(first + i)
            for _ in range(ROWS // DRAWN_ROWS):
                f.write(b"".join(order.sample(rows, DRAWN_ROWS)))


def timed(command, output, size):
    """Seconds of a run that writes `output`, which is then taken away. As many pages as it may take were
    just in use: a virtual machine's host may have taken back those that were not, and whoever came first
    would pay for them."""
    with open(output + ".pages", "wb") as f:
        for _ in range(2 * size >> 20):
            f.write(bytes(1 << 20))
    os.remove(output + ".pages")
    begin = time.monotonic()
    if subprocess.run(command, capture_output=True).returncode != 0:
        sys.exit("%s failed" % " ".join(command))
    seconds = time.monotonic() - begin
    shutil.rmtree(output) if os.path.isdir(output) else os.remove(output)
    return seconds


def main():
    arguments = sys.argv[1:]
    here = os.path.dirname(os.path.abspath(__file__))
    program = os.path.abspath(arguments[0] if arguments else os.path.join(here, "..", "build", "qinspect"))
    mebibytes = int(arguments[1]) if len(arguments) > 1 else 512
    rounds = int(arguments[2]) if len(arguments) > 2 else 7
    tensors = max(1, mebibytes * (1 << 20) // (2 * ROWS * COLS * SHARDS))  # of a shard
    folder = tempfile.mkdtemp(prefix="qinspect-bench-", dir=arguments[3] if len(arguments) > 3 else "/dev/shm")
    try:
        rows = drawn_rows()
        os.mkdir(folder + "/one")
        os.mkdir(folder + "/four")
        write_shard(folder + "/one/model.safetensors", rows, 0, SHARDS * tensors)
        for i in range(SHARDS):
            write_shard(folder + "/four/model-%05d-of-%05d.safetensors" % (i + 1, SHARDS), rows,
                        i * tensors, tensors)
        source, packed, out = folder + "/one/model.safetensors", folder + "/one.zst", folder + "/out"
        jobs = {("encode", "zstd", 1): ["zstd", "-1", "-q", "--single-thread", source, "-o", out],
                ("decode", "zstd", 1): ["zstd", "-d", "-q", packed, "-o", out]}
        subprocess.run(["zstd", "-1", "-q", "--single-thread", source, "-o", packed], check=True)
        for model in ("one", "four"):
            container = "%s/%s.qstore" % (folder, model)
            encode = [program, "--quiet", "--encode"]
            subprocess.run([*encode, container, folder + "/" + model], check=True, capture_output=True)
            for threads in (1, 2):
                more = ["--threads", str(threads)]
                jobs["encode", model, threads] = [*encode, out + ".qstore", folder + "/" + model, *more]
                jobs["decode", model, threads] = [program, "--quiet", "--decode", out, "--level", "high", container,
                                                *more]
        seconds = {key: [] for key in jobs}
        size = os.path.getsize(source)
        for _ in range(rounds):
            for key, command in jobs.items():
                output = out + ".qstore" if out + ".qstore" in command else out
                seconds[key].append(timed(command, output, size))
        median = {key: statistics.median(values) for key, values in seconds.items()}
        print("%d MiB, medians of %d rounds" % (size >> 20, rounds))
        for way in ("encode", "decode"):
            zstd = median[way, "zstd", 1]
            print("%s  zstd -1          %6.3f s  %5.2f GB/s" % (way, zstd, size / zstd / 1e9))
            for model, title in (("one", "one file"), ("four", "four shards")):
                one, two = (median[way, model, threads] for threads in (1, 2))
                print("%s  %-11s      %6.3f s  %5.2f GB/s  %.2f x zstd   two threads %6.3f s  %.2f x one"
                      % (way, title, one, size / one / 1e9, zstd / one, two, one / two))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
