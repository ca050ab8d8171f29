#!/usr/bin/env python3
"""How the real program behaves towards the system: exit statuses, outputs, pipes, signals, memory.

    behaviour_test.py QINSPECT [unittest options]

Each test makes what it needs in a fresh folder. None depends on speed: those that interrupt a run
give it a weight that takes far longer than the test and wait for the run to say that it reads.
"""
import csv
import io
import json
import os
import pty
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import unittest

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")
PROGRAM = None
WAP = os.path.join(DATA, "models", "wap")
STORIES = os.path.join(DATA, "models", "stories260K")


def read(path):
    with open(path, "rb") as f:
        return f.read()


def environment(home):
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")}
    return {**keep, "LC_ALL": "C.UTF-8", "HOME": home, "XDG_DATA_HOME": home, "TERM": "xterm"}


def write_safetensors(path, tensors, payload_bytes=None):
    """tensors: name -> (dtype, shape, bytes of payload); the payload is a hole."""
    header, at = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + (at if payload_bytes is None else payload_bytes))


class Case(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="qinspect-cli")
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def start(self, *arguments, **how):
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
               "env": environment(self.tmp), **how}
        return subprocess.Popen([PROGRAM, *arguments], **how)

    def run_program(self, *arguments, **how):
        process = self.start(*arguments, **how)
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def usage(self, *arguments):
        status, out, err = self.run_program(*arguments)
        self.assertEqual(status, 64, err)
        self.assertEqual(out, b"")
        lines = [l for l in err.splitlines() if not l.startswith(b"qinspect: note: ")]
        self.assertEqual(len(lines), 1, err)
        self.assertTrue(lines[0].startswith(b"qinspect: ") and lines[0].endswith(b"[usage]"), err)
        return err


class Usage(Case):
    def test_modes_need_what_they_are_about(self):
        self.usage("--eval", "x", WAP)  # no such kind
        self.usage("--quantize", self.path("out"), WAP)  # to what?
        self.usage("--quantize", self.path("out"), "--to", "int3", WAP)
        self.usage("--quantize", self.path("out"), "--to", "INT4-W4A16", WAP)  # calibrated on what?
        self.assertFalse(os.path.exists(self.path("out")))

    def test_a_path_after_csv_is_never_overwritten(self):
        copy = self.path("model.safetensors")
        shutil.copyfile(os.path.join(STORIES, "model.safetensors"), copy)
        before = read(copy)
        status, out, _ = self.run_program("--list", "--csv", copy)
        self.assertEqual(status, 0)
        self.assertEqual(len(list(csv.reader(io.StringIO(out.decode())))), 48)
        self.assertEqual(read(copy), before)


class Sweeps(Case):
    GRID = ("--sweep", "rtn,lossless", WAP, "--bits", "3,4", "--csv")

    def rows(self, text):
        rows = list(csv.DictReader(io.StringIO(text.decode())))
        for row in rows:
            for times in ("run", "encode_s", "decode_s", "encode_mb_s", "decode_mb_s"):
                row.pop(times)
        return rows

    def database(self, *statements):
        with sqlite3.connect(self.path("r.db")) as db:
            return [db.execute(s).fetchall() for s in statements]

    def test_a_killed_sweep_is_finished_by_the_next(self):
        status, whole, err = self.run_program(*self.GRID, "--db", self.path("whole.db"))
        self.assertEqual(status, 0, err)
        for wanted in (1, 30, 100):
            for name in os.listdir(self.tmp):
                if name.startswith("r.db"):
                    os.unlink(self.path(name))
            process = self.start(*self.GRID, "--db", self.path("r.db"), "--threads", "1")
            lines = [process.stdout.readline() for _ in range(wanted + 1)]
            process.kill()
            rest = process.stdout.read()
            process.communicate()
            # What was printed is kept.
            whole_lines = (b"".join(lines) + rest).split(b"\r\n")[1:-1]
            printed = sum(b",*," not in line for line in whole_lines)
            ((kept,),), ((verdict,),) = self.database(
                "SELECT count(*) FROM run_row JOIN result ON id = result AND bytes_out > 0",
                "PRAGMA integrity_check")
            self.assertEqual(verdict, "ok")
            self.assertGreaterEqual(kept, printed)
            status, out, err = self.run_program(*self.GRID, "--db", self.path("r.db"))
            self.assertEqual(status, 0, err)
            self.assertEqual(self.rows(out), self.rows(whole))

    def test_configurations_are_evaluated_once(self):
        grid = ("--sweep", "rtn", WAP, "--bits", "3,4", "--csv", "--with", "ppl", "--text",
                os.path.join(WAP, "eval.txt"), "--context", "256", "--bos", "none", "--limit", "4")

        def evaluations(run):
            status, out, err = self.run_program("--results", "--evaluations", "--csv", "--run",
                                                run, "--db", self.path("r.db"))
            self.assertEqual(status, 0, err)
            rows = list(csv.DictReader(io.StringIO(out.decode())))
            return [(row.pop("run"), row)[1] for row in rows]

        process = self.start(*grid, "--db", self.path("r.db"), bufsize=0)
        lines = [process.stdout.readline() for _ in range(1 + 2 * 28 + 2)]
        self.assertIn(b",*,", lines[-1])
        process.kill()
        process.communicate()
        killed = evaluations("1")
        status, out, err = self.run_program(*grid, "--db", self.path("r.db"))
        self.assertEqual(status, 0, err)
        self.assertEqual(out.count(b"\n"), len(lines))
        self.assertIn(b"2 rows of evaluations: --results --evaluations --run 2", err)
        rows = evaluations("2")
        self.assertEqual(rows[:len(killed)], killed)
        self.assertEqual([(r["family"], r["kind"], r["status"]) for r in rows],
                         [("rtn", "ppl", "ok")] * 2)
        self.assertGreater(float(rows[0]["value"]), float(rows[1]["value"]))
        self.run_program(*grid, "--db", self.path("r.db"))
        self.assertEqual(evaluations("3"), rows)  # to the last digit of the times

    def test_what_cannot_be_evaluated_is_a_row(self):
        args = ("--sweep", "ggml", "--types", "IQ1_S", WAP, "--csv", "--with", "ppl", "--text",
                os.path.join(WAP, "eval.txt"), "--context", "256", "--limit", "1", "--db",
                self.path("r.db"))
        status, out, err = self.run_program(*args)
        self.assertEqual(status, 0, err)
        status, out, err = self.run_program("--results", "--evaluations", "--csv", "--db",
                                            self.path("r.db"))
        (row,) = csv.DictReader(io.StringIO(out.decode()))
        self.assertEqual((row["kind"], row["value"], row["status"]), ("ppl", "", "error"))
        self.assertIn("28 of 28 weights failed", row["error"])

    def test_processes_share_a_database(self):
        runs = [self.start(*self.GRID, "--db", self.path("r.db")) for _ in range(4)]
        outs = [process.communicate(timeout=240) for process in runs]
        for process, (out, err) in zip(runs, outs):
            self.assertEqual(process.returncode, 0, err)
            self.assertEqual(self.rows(out), self.rows(outs[0][0]))
        units = len(self.rows(outs[0][0])) - len({r["params"] for r in self.rows(outs[0][0])})
        (results,), (rows,), (claims,) = self.database(
            "SELECT count(*) FROM result", "SELECT count(*) FROM run_row",
            "SELECT count(*) FROM result WHERE owner <> ''")
        self.assertEqual((results[0], rows[0], claims[0]), (units, 4 * units, 0))

    def test_an_interrupted_sweep_keeps_its_rows(self):
        big = self.path("big.safetensors")
        write_safetensors(big, {"model.layers.%d.mlp.up_proj.weight" % i:
                                ("F32", [4096, 4096], 4096 * 4096 * 4) for i in range(64)})
        args = ("--sweep", "lossless", "--codecs", "store", big, "--csv", "--quiet")
        process = self.start(*args, "--db", self.path("r.db"), "--threads", "1", bufsize=0)
        first = process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=240)
        self.assertEqual(process.returncode, 130, err)
        printed = 1 + out.count(b"\r\n")
        self.assertTrue(first[1].startswith(b"1,big"))
        (kept,), (claims,) = self.database("SELECT count(*) FROM run_row",
                                           "SELECT count(*) FROM result WHERE owner <> ''")
        self.assertEqual((kept[0], claims[0]), (printed, 0))

    def test_databases_that_cannot_be_used(self):
        args = ("--sweep", "lossless", "--codecs", "store", WAP, "--quiet")
        text = self.path("text.db")
        with open(text, "w") as f:
            f.write("not a database, whatever its name says" * 10)
        before = read(text)
        for mode in (args, ("--results",)):
            status, out, err = self.run_program(*mode, "--db", text)
            self.assertEqual((status, out), (2, b""), err)
            self.assertIn(b"[bad_magic]", err)
        self.assertEqual(read(text), before)
        status, _, err = self.run_program(*args, "--db", self.path("r.db"))
        self.assertEqual(status, 0, err)
        whole = read(self.path("r.db"))
        self.database("PRAGMA user_version = 99")
        for mode in (args, ("--results",)):
            status, out, err = self.run_program(*mode, "--db", self.path("r.db"))
            self.assertEqual((status, out), (1, b""), err)
            self.assertIn(b"newer", err)
        with open(self.path("cut.db"), "wb") as f:
            f.write(whole[:len(whole) // 2])
        for mode in (args, ("--results",)):
            status, out, err = self.run_program(*mode, "--db", self.path("cut.db"))
            self.assertEqual((status, out), (2, b""), err)
            self.assertIn(b"[corrupt]", err)
        status, out, err = self.run_program("--results", "--db", self.path("absent.db"))
        self.assertEqual((status, out), (1, b""), err)
        self.assertIn(b"[io]", err)
        status, out, err = self.run_program(*args, "--db", "/proc/no/such/r.db")
        self.assertEqual((status, out), (1, b""), err)
        self.assertIn(b"[database]", err)
        status, out, err = self.run_program("--results", "--csv")
        self.assertEqual((status, out.count(b"\n")), (0, 1), err)

    def test_a_full_disk_ends_the_sweep_and_keeps_its_rows(self):
        import resource

        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))

        args = (*self.GRID, "--db", self.path("r.db"), "--bits", "2,3,4,5,6,7,8")
        args = tuple(a for i, a in enumerate(args) if not (a == "3,4" or (a == "--bits" and i < 5)))
        status, out, err = self.run_program(*args, preexec_fn=small)
        self.assertEqual(status, 1, err)
        self.assertIn(b"r.db", err)
        ((verdict,),), ((kept,),) = self.database("PRAGMA integrity_check",
                                                  "SELECT count(*) FROM result "
                                                  "WHERE bytes_out > 0")
        self.assertEqual(verdict, "ok")
        self.assertGreater(kept, 0)
        status, _, err = self.run_program(*args)
        self.assertEqual(status, 0, err)

    def test_results_as_they_were_swept(self):
        db = ("--db", self.path("r.db"))
        _, swept, _ = self.run_program(*self.GRID, *db)
        status, listed, err = self.run_program("--results", "--csv", *db)
        self.assertEqual(status, 0, err)
        self.assertEqual(listed, swept)
        _, out, _ = self.run_program("--results", "--csv", *db, "--family", "rtn", "--best-under",
                                     "4", "--tensors", "*layers.0*")
        rows = self.rows(out)
        self.assertEqual(len(rows), 7)
        self.assertTrue(all(float(r["bits_per_weight"]) <= 4 for r in rows))
        _, out, _ = self.run_program("--results", "--csv", *db, "--pareto", "--tensors", "\\*")
        snr = [float(r["snr_db"] or "inf") for r in self.rows(out) if r["family"] == "rtn"]
        self.assertEqual(snr, sorted(snr))
        for mode in (("--results", "--csv", *db), self.GRID + db):
            os.chmod(self.tmp, 0o500)
            try:
                status, out, err = self.run_program(*mode)
            finally:
                os.chmod(self.tmp, 0o700)
            if os.geteuid() != 0:
                self.assertEqual(status, 0 if mode[0] == "--results" else 1, err)


class Outputs(Case):
    def test_output_is_written_whole_and_not_overwritten(self):
        target = self.path("rows.csv")
        status, out, err = self.run_program("--list", WAP, "--csv", "--output", target)
        self.assertEqual((status, out), (0, b""), err)
        first = read(target)
        self.assertEqual(first.count(b"\r\n"), 40)
        self.usage("--list", STORIES, "--csv", "--output", target)
        self.assertEqual(read(target), first)
        status, _, _ = self.run_program("--list", STORIES, "--csv", "--output", target, "--force")
        self.assertEqual(status, 0)
        self.assertNotEqual(read(target), first)
        self.assertEqual(os.listdir(self.tmp), ["rows.csv"])

    def test_an_input_is_never_an_output(self):
        model = self.path("m.safetensors")
        shutil.copyfile(os.path.join(STORIES, "model.safetensors"), model)
        os.link(model, self.path("hard-link"))
        os.symlink(model, self.path("soft-link"))
        before = read(model)
        for name in ("m.safetensors", "hard-link", "soft-link"):
            self.usage("--list", model, "--output", self.path(name), "--force")
        self.usage("--convert", self.path("m.safetensors"), "--to", "F32", model, "--force")
        self.assertEqual(read(model), before)

    def test_a_failed_run_leaves_no_output(self):
        status, _, _ = self.run_program("--list", self.path("absent"), "--output", self.path("o"))
        self.assertEqual(status, 1)
        self.assertEqual(os.listdir(self.tmp), [])

    def test_rows_of_faults_are_written_though_the_status_is_2(self):
        bad = os.path.join(DATA, "malformed", "files", "safetensors", "st_hole_middle.safetensors")
        target = self.path("faults.json")
        status, _, err = self.run_program("--verify", bad, "--json", "--output", target)
        self.assertEqual(status, 2, err)
        self.assertEqual(json.loads(read(target))["rows"][0]["class"], "hole")

    def test_a_full_device_is_an_error(self):
        with open("/dev/full", "wb") as full:
            status, _, err = self.run_program("--list", WAP, "--csv", stdout=full)
        self.assertEqual(status, 1)
        self.assertIn(b"[space]", err)

    def test_a_limit_on_file_sizes_is_an_error_not_a_signal(self):
        import resource

        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

        out = self.path("out.safetensors")
        status, _, err = self.run_program("--convert", out, "--to", "F32", WAP, preexec_fn=small)
        self.assertEqual(status, 1, err)
        self.assertIn(b"File too large", err)
        self.assertEqual(os.listdir(self.tmp), [])

    def test_closed_standard_streams_do_not_end_up_in_the_output(self):
        for mode, name in ((["--convert"], "out.safetensors"), (["--list", "--csv", "--output"],
                                                                 "out.csv")):
            out = self.path(name)
            more = ["--to", "F32"] if mode[0] == "--convert" else []
            shell = 'exec "$@" <&- >&- 2>&-'
            subprocess.run(["sh", "-c", shell, "sh", PROGRAM, *mode, out, *more, "--verbose", WAP],
                           env=environment(self.tmp), timeout=240)
            wanted = self.path("wanted-" + name)
            self.run_program(*mode, wanted, *more, WAP)
            self.assertEqual(read(out), read(wanted))

    def test_a_closed_pipe_is_quiet(self):
        read, write = os.pipe()
        os.close(read)
        status, _, err = self.run_program("--list", WAP, "--csv", "--quiet", stdout=write)
        os.close(write)
        self.assertEqual((status, err), (141, b""))


class Convert(Case):
    def test_what_was_converted_is_the_same(self):
        out = self.path("out.safetensors")
        status, _, err = self.run_program("--convert", out, "--to", "F32", WAP, "--quiet")
        self.assertEqual(status, 0, err)
        status, _, err = self.run_program("--diff", WAP, out, "--quiet")
        self.assertEqual(status, 0, err)
        status, _, err = self.run_program("--verify", out)
        self.assertEqual(status, 0, err)

    def test_rounding_is_found_by_diff(self):
        out = self.path("out.safetensors")
        status, _, err = self.run_program("--convert", out, "--to", "BF16", STORIES, "--quiet")
        self.assertEqual(status, 0, err)
        status, _, _ = self.run_program("--diff", STORIES, out, "--quiet")
        self.assertEqual(status, 2)


class Containers(Case):
    def encode(self, *arguments, **how):
        out = self.path("m.qstore")
        status, _, err = self.run_program("--encode", out, "--quiet", *arguments, **how)
        self.assertEqual(status, 0, err)
        return out

    def same_files(self, a, b):
        names = lambda d: sorted(n for n in os.listdir(d) if os.path.isfile(os.path.join(d, n)))
        self.assertEqual(names(a), names(b))
        for name in names(a):
            self.assertEqual(read(os.path.join(a, name)), read(os.path.join(b, name)), name)

    def test_all_levels_come_back(self):
        low = os.path.join(WAP, "wap-int8")
        container = self.encode(WAP, "--low", low)
        status, _, err = self.run_program("--decode", self.path("out"), "--level", "all", container)
        self.assertEqual(status, 0, err)
        self.same_files(WAP, self.path("out/wap"))
        self.same_files(low, self.path("out/wap-int8"))
        self.assertEqual(self.run_program("--verify", container)[:2], (0, b""))
        status, out, err = self.run_program("--diff", WAP, container, "--csv", "--quiet")
        self.assertEqual(status, 0, err)

    def test_three_precisions_computed_on_the_way(self):
        eight, four = "gptq:8:128", "gptq:4:128"
        for low in (["--low", eight], ["--low", "gptq:5:128", "--calibration", WAP + "/eval.txt"]):
            self.usage("--encode", self.path("x.qstore"), WAP, *low)
        container = self.encode(WAP, "--low", eight, "--low", four, "--calibration",
                                WAP + "/eval.txt", "--nsamples", "2", "--max_sequence_length", "64")
        status, _, err = self.run_program("--decode", self.path("out"), "--level", "all", container)
        self.assertEqual(status, 0, err)
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["gptq-4-128", "gptq-8-128", "wap"])
        self.same_files(WAP, self.path("out/wap"))
        self.assertEqual(self.run_program("--verify", container)[:2], (0, b""))
        self.assertLess(os.path.getsize(container), 0.78 * sum(
            os.path.getsize(os.path.join(WAP, f)) for f in os.listdir(WAP) if f.endswith("tensors")))
        status, out, err = self.run_program("--stats", container, "--csv", "--quiet", "--tensors",
                                            "*layers.0.self_attn.q*")
        self.assertEqual(status, 0, err)
        high, low, lowest = list(csv.DictReader(io.StringIO(out.decode())))
        self.assertTrue(float(high["h_given_next"]) < float(high["h_given_lowest"]) < 16)
        self.assertLess(float(low["bits_chain"]), float(low["bits_huffman"]))
        self.assertEqual(lowest["h_given_next"], "")

    def test_statistics_of_a_container_are_those_of_its_source(self):
        container = self.encode(WAP)
        columns = ("tensor", "min", "h_symbol", "h_exponent", "ratio_planes", "ratio_pair")
        rows = {}
        for path in (WAP, container):
            status, out, err = self.run_program("--stats", path, "--csv", "--quiet", "--tensors",
                                                "*layers.0*")
            self.assertEqual(status, 0, err)
            rows[path] = list(csv.DictReader(io.StringIO(out.decode())))
        pick = lambda path: [[row[c] for c in columns] for row in rows[path]]
        self.assertEqual(pick(WAP), pick(container))
        self.assertTrue(all(float(row["bits_spent"]) <= 16.01 for row in rows[container]))

    def test_damage_is_named_and_the_rest_is_saved(self):
        container = self.encode(WAP)
        blob = bytearray(read(container))
        blob[len(blob) // 2] ^= 1
        with open(container, "wb") as f:
            f.write(blob)
        status, out, err = self.run_program("--verify", container, "--csv")
        self.assertEqual(status, 2, err)
        rows = list(csv.DictReader(io.StringIO(out.decode())))
        self.assertEqual(len(rows), 1)
        self.assertEqual(rows[0]["class"], "corrupt")
        bad = rows[0]["tensor"]
        self.assertTrue(bad)
        begin = int(rows[0]["offset"])
        self.assertTrue(begin <= len(blob) // 2 < begin + int(rows[0]["length"]))
        status, _, err = self.run_program("--decode", self.path("out"), "--level", "high", container)
        self.assertEqual(status, 2, err)
        self.assertEqual(sorted(os.listdir(self.tmp)), ["m.qstore"])
        status, _, err = self.run_program("--decode", self.path("out"), "--level", "high", container,
                                          "--tensors", "*", "--tensors", "!" + bad)
        self.assertEqual(status, 0, err)
        status, out, err = self.run_program("--diff", WAP, self.path("out"), "--csv", "--quiet")
        rows = list(csv.DictReader(io.StringIO(out.decode())))
        self.assertEqual([r["tensor"] for r in rows if r["status"] != "same"], [bad])

    def test_a_full_disk_leaves_nothing(self):
        import resource

        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

        status, _, err = self.run_program("--encode", self.path("m.qstore"), WAP, preexec_fn=small)
        self.assertEqual(status, 1, err)
        self.assertIn(b"File too large", err)
        self.assertEqual(os.listdir(self.tmp), [])
        container = self.encode(WAP)
        status, _, err = self.run_program("--decode", self.path("out"), "--level", "high", container,
                                          preexec_fn=small)
        self.assertEqual(status, 1, err)
        self.assertEqual(os.listdir(self.tmp), ["m.qstore"])

    def test_a_killed_run_leaves_no_final_name_and_the_next_one_cleans_up(self):
        big = self.path("big.safetensors")
        size = 1 << 30
        write_safetensors(big, {"w": ("BF16", [size // 256, 128], size)})
        out, home = self.path("m.qstore"), self.path("home")
        os.mkdir(home)
        for mode in (["--encode", out, big], ["--decode", self.path("out"), "--level", "high", out]):
            for delay in (0.02, 0.1, 0.3):
                process = self.start(*mode, "--quiet")
                try:
                    process.wait(timeout=delay)
                    break  # done before it could be killed
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                self.assertFalse(os.path.exists(mode[1]))
            process.communicate()
            status, _, err = self.run_program(*mode, "--quiet", "--force")
            if process.returncode != 0:
                self.assertEqual(status, 0, err)
            left = [n for n in os.listdir(self.tmp) if n.startswith(".qinspect-")]
            self.assertEqual(left, [])

    def test_an_interrupted_run_leaves_nothing(self):
        big = self.path("big.safetensors")
        size = 4 << 30
        write_safetensors(big, {"w": ("BF16", [size // 256, 128], size)})
        process = self.start("--encode", self.path("m.qstore"), big, "--threads", "1")
        while process.poll() is None and len(os.listdir(self.tmp)) == 1:
            pass  # until there is something that could be left
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(os.listdir(self.tmp), ["big.safetensors"])

    def test_usage(self):
        container = self.encode(STORIES)
        out = self.path("out")
        os.mkdir(self.path("full"))
        with open(self.path("full/file"), "w"):
            pass
        self.usage("--encode", self.path("m.bin"), WAP)
        self.usage("--encode", container, WAP)  # exists
        self.usage("--encode", self.path("x.qstore"), container)
        self.usage("--encode", self.path("x.qstore"), WAP, "--tensors", "*")
        self.usage("--encode", self.path("x.qstore"), WAP, "--block", "10")
        self.usage("--encode", self.path("x.qstore"), WAP, "--effort", "best")
        self.usage("--encode", self.path("x.qstore"), STORIES + "/stories260K-F16.gguf", "--low",
                   "int8")
        self.usage("--decode", out, container)  # no --level
        self.usage("--decode", out, "--level", "medium", container)
        self.usage("--decode", out, "--level", "high", WAP)
        self.usage("--decode", self.path("full"), "--level", "high", container)
        self.usage("--decode", container, "--level", "high", container)
        self.usage("--decode", out, "--level", "high", container, "--tensors", "no-such-weight")
        self.usage("--list", WAP, "--level", "high")
        self.assertEqual(sorted(os.listdir(self.tmp)), ["full", "m.qstore"])


class Stats(Case):
    def test_one_bad_weight_does_not_stop_the_rest(self):
        path = self.path("two.safetensors")
        write_safetensors(path, {"a": ("F128", [4], 64), "b": ("F32", [4], 16)})
        status, out, err = self.run_program("--stats", path, "--json", "--quiet")
        self.assertEqual(status, 2, err)
        self.assertIn(b"[bad_dtype]", err)
        rows = json.loads(out)["rows"]
        self.assertEqual([r["tensor"] for r in rows], ["a", "b"])
        self.assertIsNone(rows[0]["mean"])
        self.assertEqual(rows[1]["zeros"], 4)

    def test_a_second_run_takes_results_from_the_database(self):
        database = self.path("r.db")
        first = self.run_program("--stats", WAP, "--csv", "--quiet", "--db", database)
        again = self.run_program("--stats", WAP, "--csv", "--quiet", "--db", database)
        self.assertEqual(first[0], 0, first[2])
        self.assertEqual(first, again)
        self.assertTrue(os.path.exists(database))

    def test_the_number_of_threads_does_not_change_a_digit(self):
        runs = [self.run_program("--stats", WAP, "--csv", "--quiet", "--threads", n, "--db",
                                 self.path("db" + n)) for n in ("1", "2", "5")]
        self.assertEqual(runs[0][1], runs[1][1])
        self.assertEqual(runs[0][1], runs[2][1])

    def test_a_foreign_database_is_refused_and_stays(self):
        database = self.path("notes.txt")
        with open(database, "w") as f:
            f.write("not a database, but somebody's notes\n" * 100)
        before = read(database)
        status, _, err = self.run_program("--stats", WAP, "--csv", "--db", database)
        self.assertIn(status, (1, 2), err)
        self.assertEqual(read(database), before)


class Config(Case):
    def config(self, text):
        os.makedirs(self.path(".config/qinspect"), exist_ok=True)
        with open(self.path(".config/qinspect/config"), "wb") as f:
            f.write(text)

    def test_a_bad_line_is_a_warning_and_the_rest_holds(self):
        self.config(b"theme = pink\x1b[2J\ndatabase = ~/other.db\n")
        status, _, err = self.run_program("--stats", "--csv", WAP, "--tensors", "*norm*")
        self.assertEqual(status, 0, err)
        lines = err.splitlines()
        self.assertEqual(len(lines), 1, err)
        self.assertIn(b"/.config/qinspect/config:1: warning: ", lines[0])
        self.assertNotIn(b"\x1b", err)
        self.assertTrue(os.path.exists(self.path("other.db")))
        self.assertFalse(os.path.exists(self.path("qinspect/results.db")))

    def test_the_command_line_wins(self):
        self.config(b"database = ~/other.db\n")
        self.run_program("--stats", "--csv", WAP, "--tensors", "*norm*", "--db", self.path("my.db"))
        self.assertTrue(os.path.exists(self.path("my.db")))
        self.assertFalse(os.path.exists(self.path("other.db")))

    def test_a_file_that_cannot_be_used_is_a_warning(self):
        self.config(b"#" * (1 << 21))
        status, out, err = self.run_program("--list", "--csv", WAP)
        self.assertEqual((status, out.count(b"\r\n"), len(err.splitlines())), (0, 40, 1), err)
        os.remove(self.path(".config/qinspect/config"))
        os.mkfifo(self.path(".config/qinspect/config"))
        status, out, err = self.run_program("--list", "--csv", WAP)
        self.assertEqual((status, out.count(b"\r\n"), len(err.splitlines())), (0, 40, 1), err)

    def test_help_shows_the_keys_as_bound(self):
        self.config(b"key filter = Ctrl-s\n")
        _, out, _ = self.run_program("--help", "keys")
        self.assertRegex(out.decode(), r"(?m)^  Ctrl-s +filter ")


class Signals(Case):
    def big_model(self):
        # A hole of 16 GiB: hours for nobody, but far longer than a test needs to interrupt it.
        path = self.path("big.safetensors")
        write_safetensors(path, {"small": ("F32", [4], 16),
                                 "w": ("BF16", [1 << 16, 1 << 17], 1 << 34)})
        return path

    def wait_until_caught(self, process, number):
        """Until the program has a handler for the signal."""
        while process.poll() is None:
            with open("/proc/%d/status" % process.pid) as f:
                caught = [l for l in f if l.startswith("SigCgt:")]
            if caught and int(caught[0].split()[1], 16) >> (number - 1) & 1:
                return

    def interrupted(self, number, mode, *more):
        process = self.start(mode, *more, self.big_model(), "--csv")
        seen = b""
        if mode == "--stats":
            # The row of the small weight is there while the big one is read.
            while seen.count(b"\r\n") < 2:
                seen += os.read(process.stdout.fileno(), 4096)
        else:
            self.wait_until_caught(process, number)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + number, err)
        self.assertNotIn(b"Traceback", err)
        return seen + out

    def test_sigint(self):
        rows = self.interrupted(signal.SIGINT, "--stats")
        self.assertEqual(rows.count(b"\r\n"), 2)  # header and the finished row

    def test_sigterm(self):
        self.interrupted(signal.SIGTERM, "--stats")

    def test_sighup(self):
        self.interrupted(signal.SIGHUP, "--verify")

    def test_an_interrupted_run_leaves_no_output(self):
        target = self.path("out.csv")
        process = self.start("--verify", self.big_model(), "--csv", "--output", target)
        self.wait_until_caught(process, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 143)
        self.assertEqual([n for n in os.listdir(self.tmp) if "out" in n], [])


class Terminal(Case):
    def on_terminal(self, *arguments, columns=80):
        import fcntl
        import termios
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = self.start(*arguments, stdout=side)
        os.close(side)
        out = b""
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not part:
                break
            out += part
        os.close(main)
        _, err = process.communicate(timeout=60)
        return process.returncode, out.decode("utf-8"), err

    def test_tables_fit_the_terminal(self):
        for columns in (20, 40, 80, 120, 200):
            status, out, err = self.on_terminal("--list", WAP, "--color", "never", columns=columns)
            self.assertEqual(status, 0, err)
            for line in out.splitlines()[1:]:
                self.assertLessEqual(len(line), columns)

    def test_csv_on_a_terminal_has_no_raw_line_breaks_in_fields(self):
        names = os.path.join(DATA, "malformed", "files", "safetensors",
                             "st_ok_csv_names.safetensors")
        status, out, _ = self.on_terminal("--list", names, "--csv")
        self.assertEqual(status, 0)
        # The terminal makes \r\n of \n; what is counted are lines, not returns.
        self.assertEqual(out.count("\n"), 21)

    def test_no_color_is_honoured(self):
        env = environment(self.tmp)
        status, out, _ = self.on_terminal("--list", WAP)
        self.assertIn("\x1b[1m", out)
        env["NO_COLOR"] = "1"
        old, globals()["environment"] = environment, lambda home: env
        try:
            _, out, _ = self.on_terminal("--list", WAP)
        finally:
            globals()["environment"] = old
        self.assertNotIn("\x1b", out)


class Links(Case):
    def test_a_fifo_a_device_a_folder_and_a_loop_end_at_once(self):
        os.mkfifo(self.path("pipe.safetensors"))
        os.symlink("loop.gguf", self.path("loop.gguf"))
        for path in (self.path("pipe.safetensors"), "/dev/zero", self.path("loop.gguf")):
            status, _, err = self.run_program("--list", path)
            self.assertIn(status, (1, 2), path)
            self.assertEqual(err.count(b"\n"), 1, err)
        os.mkdir(self.path("folder.safetensors"))
        status, _, _ = self.run_program("--list", self.path("folder.safetensors"))
        self.assertNotEqual(status, 0)


class Scale(Case):
    def test_a_hundred_thousand_tensors_list_in_bounded_memory(self):
        path = self.path("many.safetensors")
        write_safetensors(path, {"model.layers.%d.w%d.weight" % (i // 100, i % 100):
                                 ("BF16", [2, 2], 8) for i in range(100000)})
        with open(self.path("rows.csv"), "wb") as out:
            process = self.start("--list", path, "--csv", stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            process.stderr.close()
        self.assertEqual(process.returncode, 0)
        self.assertEqual(read(self.path("rows.csv")).count(b"\r\n"), 100001)
        if not SANITIZED:
            self.assertLess(usage.ru_maxrss, 256 << 10)

    def test_a_weight_of_a_gigabyte_streams_through_little_memory(self):
        if SANITIZED:
            self.skipTest("a sanitizer needs memory of its own")
        for shape in ([1 << 14, 1 << 15], [1, 1 << 29]):
            path = self.path("wide.safetensors")
            write_safetensors(path, {"w": ("BF16", shape, 1 << 30)})
            for mode in (["--stats", path], ["--diff", path, path]):
                with open(self.path("rows.txt"), "wb") as out:
                    process = self.start(*mode, stdout=out)
                    _, status, usage = os.wait4(process.pid, 0)
                    process.returncode = os.waitstatus_to_exitcode(status)
                    process.stderr.close()
                self.assertEqual(process.returncode, 0)
                self.assertLess(usage.ru_maxrss, 256 << 10, (mode, shape))

    def test_a_model_may_have_more_shards_than_a_shell_lets_open(self):
        import resource
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard != resource.RLIM_INFINITY and hard < 512:
            self.skipTest("the machine allows %d open files" % hard)
        for i in range(100):
            write_safetensors(self.path("model-%05d-of-00100.safetensors" % (i + 1)),
                              {"model.layers.%d.mlp.up_proj.weight" % i: ("BF16", [4, 4], 32)})

        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

        for mode in (["--list"], ["--stats"], ["--diff", self.tmp]):
            status, out, err = self.run_program(*mode, self.tmp, "--csv", preexec_fn=few)
            self.assertEqual(status, 0, err)
            self.assertEqual(out.count(b"\r\n"), 101)


@unittest.skipUnless(shutil.which("strace"), "strace is not installed")
class Sandbox(Case):
    def test_nothing_is_executed_and_no_socket_is_opened(self):
        corpus = os.path.join(DATA, "malformed", "files")
        paths = [WAP, STORIES, os.path.join(DATA, "checkpoints", "gptq-4bit-actorder"),
                 os.path.join(DATA, "prototype-dirs", "wap2-mixedprec-bf16-int8")]
        for folder in sorted(os.listdir(corpus)):
            names = sorted(os.listdir(os.path.join(corpus, folder)))
            paths += [os.path.join(corpus, folder, n) for n in names[::8]]
        log = self.path("trace")
        for mode in ("--list", "--verify"):
            for path in paths:
                subprocess.run(["strace", "-f", "-qq", "-e", "trace=%network,execve", "-o", log,
                                PROGRAM, mode, path], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=environment(self.tmp), timeout=120)
                calls = [l for l in read(log).decode("utf-8", "replace").splitlines()
                         if "(" in l and "+++" not in l and "---" not in l]
                self.assertEqual(len(calls), 1, calls)  # its own start
                self.assertIn("execve(", calls[0])


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    with open(PROGRAM, "rb") as f:
        SANITIZED = b"__asan_init" in f.read()
    unittest.main(verbosity=1)
