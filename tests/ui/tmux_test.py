#!/usr/bin/env python3
"""Starts qinspect in a real terminal (tmux), as a person would: filters, sorts, opens, copies, pastes,
resizes, suspends, quits, is killed and crashes; the terminal must come back as it was. Waits for text with a deadline, never
for a time. Usage: tmux_test.py QINSPECT MODEL. Exit 77: skipped, no tmux."""

import fcntl
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

DEADLINE_S = 60


class Failure(Exception):
    pass


class Terminal:
    def __init__(self, folder, width, height):
        self.socket = os.path.join(folder, "tmux")
        environment = "env -u NO_COLOR -u ENV LANG=C.UTF-8 PS1='prompt> ' " + " ".join(
            f"XDG_{name}={folder}" for name in ("DATA_HOME", "CONFIG_HOME", "STATE_HOME", "RUNTIME_DIR"))
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height),
                 environment + " sh")
        self.run("set-option", "-g", "window-size", "manual")
        self.run("set-option", "-s", "set-clipboard", "on")
        self.wait("prompt>")

    def run(self, *arguments):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"tmux {arguments}: {done.stderr.strip()}")
        return done.stdout

    def screen(self):
        return self.run("capture-pane", "-p")

    def keys(self, *names):
        self.run("send-keys", *names)

    def text(self, text):
        self.run("send-keys", "-l", text)

    def wait_for(self, what, holds):
        end = time.monotonic() + DEADLINE_S
        while True:
            screen = self.screen()
            if holds(screen):
                return screen
            if time.monotonic() > end:
                raise Failure(f"waited for {what}; the screen shows\n{screen}")
            time.sleep(0.02)

    def wait(self, text):
        return self.wait_for(repr(text), lambda screen: text in screen)

    def wait_gone(self, text):
        return self.wait_for(f"no {text!r}", lambda screen: text not in screen)

    def shell(self, command, marker):
        """Runs a command in the shell and waits for what it prints."""
        self.text(command)
        self.keys("Enter")
        return self.wait(marker)

    def modes(self, folder, name):
        """What stty says of the terminal, through a file: the screen may wrap."""
        path = os.path.join(folder, name)
        self.shell(f"stty -g > {path}; echo saved-{name}", f"\nsaved-{name}")
        with open(path) as file:
            return file.read()

    def check_back(self, folder, name, before):
        """The terminal is as the shell had it: modes, main screen, cursor, mouse."""
        check(self.modes(folder, name) == before, f"{name}: stty differs")
        flags = self.run("display-message", "-p",
                         "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{mouse_button_flag} "
                         "#{keypad_flag}").strip()
        check(flags == "0 1 0 0 0", f"{name}: alternate screen, cursor, mouse or keypad: {flags}")

    def resize(self, width, height):
        self.run("resize-window", "-x", str(width), "-y", str(height))

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)


def pid_of(terminal):
    shell = terminal.run("display-message", "-p", "#{pane_pid}").strip()
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", shell], capture_output=True, text=True)
        for line in found.stdout.splitlines():
            pid, name = line.split(None, 1)
            if name.startswith("qinspect"):
                return int(pid)
        time.sleep(0.02)
    raise Failure("qinspect does not run")


def check(condition, message):
    if not condition:
        raise Failure(message)


def storm(terminal):
    """Hundreds of SIGWINCH, with sizes that change and that do not; the last size counts."""
    pid = pid_of(terminal)
    for i in range(60):
        terminal.resize(61 + i % 90, 16 + i % 30)
        for _ in range(20):
            os.kill(pid, signal.SIGWINCH)
    terminal.resize(120, 36)
    terminal.wait_for("a frame of 120x36", lambda screen: screen.rstrip("\n").count("\n") == 35 and
                      "q quit" in screen.rstrip("\n").rsplit("\n", 1)[1] and
                      "all 39 weights analysed" in screen)


def clipboard(terminal, folder):
    """y copies to the clipboard and to a file; a paste is text, and only in a text field."""
    terminal.text("y")
    terminal.wait("also in")
    with open(os.path.join(folder, "qinspect-clipboard")) as file:
        copied = file.read()
    check(copied.endswith("self_attn.q_proj.weight"), f"copied {copied!r}")
    end = time.monotonic() + DEADLINE_S
    while subprocess.run(["tmux", "-S", terminal.socket, "show-buffer"], capture_output=True,
                         text=True).stdout != copied:
        check(time.monotonic() < end, "the terminal has no clipboard")
        time.sleep(0.02)
    terminal.run("set-buffer", "-b", "paste", "q\nk_proj")
    terminal.run("paste-buffer", "-p", "-b", "paste")
    terminal.wait("pasted text goes into a filter")
    terminal.text("/")
    terminal.keys("C-u")
    terminal.run("paste-buffer", "-p", "-b", "paste")
    terminal.wait("filter: q k_proj")
    terminal.keys("C-u")
    terminal.text("q_proj")
    terminal.keys("Enter")
    terminal.wait("filter: q_proj")
    terminal.wait("4 of 39")


def columns(terminal, folder, start):
    """A column taken away stays away in the next run."""
    def titles(screen):
        return next((line for line in screen.split("\n") if "b/w" in line and "scheme" in line), "")
    terminal.text(start)
    terminal.keys("Enter")
    terminal.wait_for("the titles", lambda screen: "shape" in titles(screen))
    terminal.text("Cj")
    terminal.keys("Enter", "Escape")
    terminal.wait_for("no shape", lambda screen: titles(screen) and "shape" not in titles(screen))
    terminal.text("q")
    terminal.wait("status-0")
    terminal.text(start)
    terminal.keys("Enter")
    screen = terminal.wait_for("the titles", titles)
    check("shape" not in titles(screen), "the choice of columns is forgotten")
    terminal.text("q")
    terminal.wait("status-0")


def config(terminal, folder, start):
    """Keys bound anew hold, and a bad line is in the log and stops nothing."""
    os.makedirs(os.path.join(folder, "qinspect"), exist_ok=True)
    path = os.path.join(folder, "qinspect", "config")
    with open(path, "w") as file:
        file.write("theme = pink\nkey filter = F4\nkey quit = F9\n")
    terminal.text(start)
    terminal.keys("Enter")
    terminal.wait("F4 filter")
    terminal.keys("F4")
    terminal.text("k_proj")
    terminal.keys("Enter")
    terminal.wait("filter: k_proj")
    terminal.text("L")
    terminal.wait("theme = pink")
    terminal.keys("Escape", "F9")
    terminal.wait("status-0")
    os.remove(path)


def session(terminal, folder, qinspect, model):
    start = f"clear; {qinspect} {model}; echo status-$?"
    terminal.shell("ulimit -c 0; echo no-cores", "\nno-cores")
    before = terminal.modes(folder, "before")

    # A person looks for q_proj: q is a letter in the filter, not the end of the program.
    terminal.text(start)
    terminal.keys("Enter")
    terminal.wait("all 39 weights analysed")
    terminal.text("/")
    terminal.wait("filter:")
    terminal.text("q_proj")
    terminal.wait("4 of 39")
    terminal.keys("Enter")
    terminal.keys("s")
    terminal.wait("shape↓")

    # Every size, and back.
    for width, height, text in ((80, 24, "filter: q_proj"), (60, 15, "4 of 39"), (40, 12, "needs 60x15"),
                                (1, 1, ""), (200, 60, "4 of 39"), (120, 36, "all 39 weights analysed")):
        terminal.resize(width, height)
        if text:
            terminal.wait(text)
    storm(terminal)

    terminal.keys("Enter")
    terminal.wait("self_attn.q_proj.weight")
    terminal.wait_gone("filter: q_proj")
    terminal.resize(80, 24)
    terminal.resize(120, 36)
    terminal.keys("Escape")
    terminal.wait("filter: q_proj")
    terminal.text("?")
    terminal.wait_gone("filter: q_proj")
    terminal.wait("Keys, commands, columns")
    terminal.keys("Escape")
    terminal.wait("filter: q_proj")
    clipboard(terminal, folder)
    terminal.text(":theme light")
    terminal.keys("Enter")
    terminal.wait("light: more contrast on a light background")

    # To the shell and back.
    terminal.keys("C-z")
    terminal.wait("prompt>")
    terminal.check_back(folder, "suspended", before)
    terminal.text("fg; echo status-$?")
    terminal.keys("Enter")
    terminal.wait("4 of 39")

    terminal.text("q")
    screen = terminal.wait("status-0")
    check("filter" not in screen, "the main screen is not back")
    terminal.check_back(folder, "after-q", before)

    # Ctrl-C, which a raw terminal sends as a key.
    terminal.text(start)
    terminal.keys("Enter")
    terminal.wait("39 weights")
    terminal.keys("C-c")
    terminal.wait("status-130")
    terminal.check_back(folder, "after-Ctrl-C", before)

    # Signals and crashes.
    for name, number, status in (("TERM", 15, 143), ("HUP", 1, 129), ("INT", 2, 130),
                                 ("SEGV", 11, 139), ("ABRT", 6, 134), ("BUS", 7, 135)):
        terminal.text(start)
        terminal.keys("Enter")
        terminal.wait("39 weights")
        os.kill(pid_of(terminal), number)
        terminal.wait(f"status-{status}")
        terminal.check_back(folder, f"after-SIG{name}", before)
    columns(terminal, folder, start)
    config(terminal, folder, start)


def lost(qinspect, model, folder, ignored):
    """The terminal goes away, with SIGHUP ignored or not: the program ends, and soon."""
    child, side = pty.fork()
    if child == 0:
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.execve(qinspect, [qinspect, model], {"TERM": "xterm-256color", "LANG": "C.UTF-8",
                                                "XDG_DATA_HOME": folder})
    try:
        seen = b""
        while b"39 weights" not in seen:
            check(select.select([side], [], [], DEADLINE_S)[0], f"nothing came but {seen!r}")
            seen += os.read(side, 65536)
    finally:
        os.close(side)
    begin = time.monotonic()
    code = wait_for_end(child, "the program goes on without its terminal")
    check(code == 129, f"the terminal is lost: status {code}")
    check(time.monotonic() - begin < 2, "the terminal is lost: it took more than 2 s")


def first_frame(qinspect, model, folder, options, variables):
    """What is sent until the footer of the sample model stands there, and until the end after q."""
    child, side = pty.fork()
    if child == 0:
        os.execve(qinspect, [qinspect, *options, model],
                  {"TERM": "xterm-256color", "LANG": "C.UTF-8", "XDG_DATA_HOME": folder, **variables})
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    seen = b""
    try:
        # What is sent is what changed: letters that stood there are not sent again. Whole frames are
        # asked for until one has the words.
        limit = time.monotonic() + DEADLINE_S
        while b"all 39 weights analysed" not in re.sub(rb"\x1b\[[0-9;]*[mGC]", b"", seen):
            check(time.monotonic() < limit, f"{variables}: last came {seen[-300:]!r}")
            if select.select([side], [], [], 0.1)[0]:
                seen += os.read(side, 65536)
            else:
                os.write(side, b"\x0c")
        os.write(side, b"q")
        while select.select([side], [], [], DEADLINE_S)[0]:
            try:
                seen += os.read(side, 65536)
            except OSError:
                break
    finally:
        os.close(side)
        status = wait_for_end(child, "q does not end the program")
    check(status == 0, f"{variables}: status {status}")
    return seen


def known(terminal):
    """Whether terminfo is likely to know it: the rarer ones are a package of their own."""
    return any(os.path.exists(os.path.join(top, terminal[0], terminal))
               for top in ("/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo"))


def environments(qinspect, model, folder):
    """Colours and characters are what the terminal and the person say."""
    def frame(*options, **variables):
        return first_frame(qinspect, model, folder, options, variables)

    def colours(text):
        return sorted({kind for kind in (b"38;2;", b"38;5;") if kind in text})
    blocks = "█".encode()
    usual = frame()
    check(colours(usual) == [b"38;5;"] and blocks in usual, "256 colours and UTF-8")
    for name in (b"1049", b"2004", b"1002", b"1006"):
        check(b"\x1b[?%sh" % name in usual and usual.rindex(b"\x1b[?%sl" % name) >
              usual.rindex(b"\x1b[?%sh" % name), f"mode {name} is not taken back")
    check(b"\x1b[?1002h" not in frame("--no-mouse"), "--no-mouse: the mouse is taken")
    check(colours(frame(COLORTERM="truecolor")) == [b"38;2;"], "COLORTERM=truecolor")
    if known("xterm-direct"):
        check(colours(frame(TERM="xterm-direct")) == [b"38;2;"], "TERM=xterm-direct")
    check(colours(frame(NO_COLOR="1")) == [], "NO_COLOR")
    check(colours(frame("--color", "never")) == [], "--color never")
    check(colours(frame("--color", "always", NO_COLOR="1")) == [b"38;5;"], "--color always")
    light, dark = frame("--theme", "light"), frame("--theme", "dark")
    check(b"38;5;25m" in light and b"38;5;25m" not in dark, "--theme")
    check(blocks in frame(LANG="C"), "LANG=C falls back to C.UTF-8")
    check(frame(LC_ALL="de_DE.ISO-8859-1").isascii(), "another character set gets ASCII")
    check(frame("--ascii").isascii(), "--ascii")
    for terminal in filter(known, ("linux", "vt100")):
        text = frame(TERM=terminal)
        check(text.isascii() and colours(text) == [], f"TERM={terminal}: ASCII, few colours")
        if terminal == "vt100":
            check(not re.search(rb"\x1b\[(2[247]|[34]9)m", text), "a VT100 takes no attribute back alone")


def wait_for_end(child, problem):
    limit = time.monotonic() + DEADLINE_S
    while True:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended != 0:
            return os.waitstatus_to_exitcode(code)
        if time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise Failure(problem)
        time.sleep(0.01)


def waiting_bytes(side):
    return struct.unpack("i", fcntl.ioctl(side, termios.FIONREAD, b"\0" * 4))[0]


def unread(qinspect, model, folder, end, status):
    """A terminal whose other side reads nothing: neither a signal nor q waits for it."""
    child, side = pty.fork()
    if child == 0:
        os.execve(qinspect, [qinspect, model], {"TERM": "xterm-256color", "LANG": "C.UTF-8",
                                                "XDG_DATA_HOME": folder})
    try:
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 100, 300, 0, 0))
        seen = b""
        while b"39 weights" not in seen:
            check(select.select([side], [], [], DEADLINE_S)[0], f"nothing came but {seen!r}")
            seen += os.read(side, 65536)
        # Whole frames until the terminal's buffer takes no more.
        for _ in range(1000):
            before = waiting_bytes(side)
            os.write(side, b"\x0c")
            limit = time.monotonic() + 0.5
            while waiting_bytes(side) == before and time.monotonic() < limit:
                time.sleep(0.002)
            if waiting_bytes(side) == before:
                break
        end(child, side)
        code = wait_for_end(child, "the program waits for a terminal that nobody reads")
        check(code == status, f"nobody reads the terminal: status {code}, not {status}")
    finally:
        os.close(side)


def main():
    if shutil.which("tmux") is None:
        print("skipped: tmux is not installed")
        return 77
    qinspect, model = sys.argv[1:3]
    folder = tempfile.mkdtemp(prefix="qi-tmux-")
    terminal = None
    try:
        terminal = Terminal(folder, 120, 36)
        session(terminal, folder, qinspect, model)
        unread(qinspect, model, folder, lambda child, side: os.kill(child, signal.SIGTERM), 143)
        unread(qinspect, model, folder, lambda child, side: os.write(side, b"q"), 0)
        environments(qinspect, model, folder)
        lost(qinspect, model, folder, False)
        lost(qinspect, model, folder, True)
    except Failure as failure:
        print(f"FAILED: {failure}")
        return 1
    finally:
        if terminal is not None:
            terminal.close()
        shutil.rmtree(folder, ignore_errors=True)
    print("the terminal came back every time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
