#!/usr/bin/env python3
"""`colrow chat`: from a pipe, and in a terminal (a pty): editing, history, pasted and many lines, Ctrl-C, Ctrl-D, commands."""
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

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_client import Server
from support import COLROW, DEMO, SANITIZE, check, finish, run

HOME = tempfile.mkdtemp(prefix="colrow-chat-")
HISTORY = os.path.join(HOME, ".local/state/colrow/chat_history")
EDITS = "libedit" in subprocess.run(["ldd", COLROW], capture_output=True, text=True).stdout
PATIENCE = 120 if SANITIZE else 30
if SANITIZE:  # libedit 3.1-20221030 never frees the names that EL_ADDFN copies
    with open(os.path.join(HOME, "suppressions"), "w", encoding="ascii") as file:
        file.write("leak:wcsdup\n")
    os.environ["LSAN_OPTIONS"] = f"suppressions={HOME}/suppressions:print_suppressions=0:" + os.environ.get("LSAN_OPTIONS", "")
FIRST, SECOND = "What is a rank?", "And what is a group?"


class Terminal:
    """A chat that believes to be in a terminal."""

    def __init__(self, *flags, **environment):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            variables = {k: v for k, v in os.environ.items() if k != "XDG_STATE_HOME"}
            os.execve(COLROW, [COLROW, "chat", DEMO, "-q", *flags], {**variables, "HOME": HOME, "TERM": "xterm", "LC_ALL": "C", **environment})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 400, 0, 0))
        self.expect(">>> ")

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

    def expect(self, what):
        """Reads until `what` has come; -> what came before it."""
        until = time.monotonic() + PATIENCE
        while what not in self.seen and time.monotonic() < until:
            if not self.read(0.2) and self.over():
                break
        if not check(what in self.seen, f"expected {what!r}, the terminal shows {self.seen[-400:]!r}"):
            self.seen = ""
            return ""
        before, _, self.seen = self.seen.partition(what)
        if what.endswith("> ") or what == "... ":
            self.await_editor()
        return before

    def await_editor(self):
        """libedit shows the prompt, then takes the terminal; without libedit nobody does."""
        until = time.monotonic() + (2 if SANITIZE else 0.2)
        while termios.tcgetattr(self.fd)[3] & termios.ICANON and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(0.05)

    def type(self, text):
        os.write(self.fd, text.encode())

    def ask(self, text, then="\r"):
        """Types a message; -> its answer."""
        self.type(text + then)
        shown = self.expect("\n\r\n")
        self.expect(">>> ")
        return plain(shown).split("\n", 1)[-1].strip()

    def over(self):
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def end(self):
        until = time.monotonic() + PATIENCE
        while not self.over() and time.monotonic() < until:
            self.read(0.1)
        if not self.over():
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\x07", "", text)


def piped(text, *flags):
    return subprocess.run([COLROW, "chat", DEMO, "-q", *flags], input=text, capture_output=True, text=True, timeout=PATIENCE)


def of_the_server():
    """The answers to a conversation of two messages, from another way to the model."""
    with Server("-tp", 2) as server:
        talk = [{"role": "user", "content": FIRST}]
        one = server.chat(FIRST, max_tokens=500)
        talk += [{"role": "assistant", "content": one}, {"role": "user", "content": SECOND}]
        two = server.post("/v1/chat/completions", messages=talk, temperature=0, max_tokens=500)[1]["choices"][0]["message"]["content"]
        lines = server.chat("What is\na rank?", max_tokens=500)
        brief = server.post("/v1/chat/completions", temperature=0, max_tokens=500, messages=[
            {"role": "system", "content": "Be brief."}, {"role": "user", "content": FIRST}])[1]["choices"][0]["message"]["content"]
    return one, two, lines, brief


def from_a_pipe(one, two, lines, brief):
    done = piped(f"{FIRST}\n{SECOND}\n")
    check((done.returncode, done.stdout) == (0, f"{one}\n{two}\n"), f"two messages: {done.returncode} {done.stdout!r} {done.stderr!r}")
    check(piped(f"{FIRST}\n\n{SECOND}", "-tp", "2").stdout == done.stdout, "empty lines, no line end at the end, two ranks")
    check(piped(f"{FIRST}\n/clear\n{FIRST}\n").stdout == f"{one}\n{one}\n", "/clear begins a new conversation")
    check(piped(f"{FIRST}\n{SECOND}\n/retry\n").stdout == f"{one}\n{two}\n{two}\n", "/retry answers the last message again")
    check(piped(f"{SECOND}\n/undo\n{FIRST}\n").stdout.endswith(f"\n{one}\n"), "/undo forgets a message and its answer")
    for text in ("What is\\\na rank?\n", '"""What is\na rank?"""\n', '"""\nWhat is\na rank?\n"""\n', '"""What is\na rank?'):
        check(piped(text).stdout == f"{lines}\n", f"one message of two lines: {text!r}")
    for text, flags in ((f"/system Be brief.\n{FIRST}\n", ()), (FIRST, ("--system", "Be brief.")), (f"/system x\n/system Be brief.\n{FIRST}", ())):
        check(piped(text, *flags).stdout == f"{brief}\n", f"a system message: {text!r} {flags}")
    check(piped(f"/system -\n{FIRST}", "--system", "x").stdout == f"{one}\n", "/system - takes it away")
    done = piped("/nope\n/system\n/help\n/clear all\n//slash\n/stats\n/exit\nnever read\n", "-n", "5")
    check(done.returncode == 0 and "there is no /nope" in done.stderr and "/retry" in done.stdout and "takes no words" in done.stderr
          and "there is no system message" in done.stderr and "last answer: " in done.stdout, f"commands: {done}")
    check("cut at" not in done.stderr, "-q says nothing of how answers end")
    done = piped("What is a rank? " * 400 + "\nnever read\n")
    check(done.returncode == 1 and done.stderr.count("\n") == 1 and "1024" in done.stderr, f"a message that is too long: {done}")
    done = subprocess.run([COLROW, "chat", DEMO, "-q"], input=b"\xff\n", capture_output=True, timeout=PATIENCE)
    check(done.returncode == 1 and b"UTF-8" in done.stderr, f"bytes that are no text: {done}")
    for flags, status, says in (((), 2, "no model"), (("/nowhere",), 1, "does not exist"), ((DEMO, "--samples", "2"), 2, "--samples"),
                                ((DEMO, "--chat-template", "/nowhere"), 1, "/nowhere")):
        done = run("chat", *flags)
        check(done.returncode == status and says in done.stderr and done.stderr.count("\n") == 1, f"chat {flags}: {done.returncode} {done.stderr}")


def in_a_terminal(one, two, lines):
    terminal = Terminal()
    check(terminal.ask(FIRST) == one, "a message in a terminal")
    check(terminal.ask(SECOND) == two, "the conversation grows")
    terminal.type("/clear\r")
    terminal.expect(">>> ")
    terminal.type("What is\\\r")
    terminal.expect("... ")
    check(terminal.ask("a rank?") == lines, "a backslash goes on in the next line")
    terminal.type("/clear\r")
    terminal.expect(">>> ")
    terminal.type("this is dropped\x03")
    terminal.expect(">>> ")
    check(not terminal.over(), "Ctrl-C at the prompt drops the line, and ends nothing")
    terminal.type('"""unfinished\r')
    terminal.expect("... ")
    terminal.type("\x03")
    terminal.expect(">>> ")
    if EDITS:
        check(terminal.ask("What iz a rank?" + 8 * "\x1b[D" + "\x7fs") == one,
              "a line is edited with cursor keys")
        terminal.type("/clear\r")
        terminal.expect(">>> ")
        check(terminal.ask("\x1b[A\x1b[A") == one, "the cursor key up brings earlier lines")
        terminal.type("/clear\r")
        terminal.expect(">>> ")
        terminal.type("\x1b[200~What is\ra rank?\r\x1b[201~")
        got = terminal.ask("")
        check(got.endswith("\n" + lines), f"pasted lines are one message: {got!r}")
        terminal.type("\u00fcb\u00fc\x7f\x7f\x7f/help\r")
        terminal.expect("/retry")  # letters of several bytes are taken back whole
        terminal.expect(">>> ")
    else:
        print("line editing: skipped, colrow was built without libedit")
    terminal.type("\x04")
    check(terminal.end() == 0, "Ctrl-D leaves")
    if EDITS:
        check(os.stat(HISTORY).st_mode & 0o777 == 0o600, "the history is its owner's alone")
        terminal = Terminal()
        terminal.type("\x1b[A")
        terminal.expect("/help")
        terminal.type("\x03")
        terminal.expect(">>> ")
        terminal.type("/exit\r")
        check(terminal.end() == 0, "/exit leaves")
        before = os.stat(HISTORY).st_mtime_ns
        terminal = Terminal("--no-history")
        terminal.type("/undo\r\x04")
        check(terminal.end() == 0 and os.stat(HISTORY).st_mtime_ns == before, "--no-history remembers nothing")


def signals():
    """Ctrl-C stops the answer, not the chat; SIGTERM ends it."""
    slow = Terminal("--ignore-eos", "--dtype", "float32", COLROW_ISA="reference")
    slow.type(FIRST + "\r")
    slow.expect("A rank")
    slow.type("\x03")
    shown = slow.expect(">>> ")
    check(not slow.over() and "context" not in shown, f"an answer is stopped before its end: {shown[-200:]!r}")
    slow.type("/stats\r")
    tokens = int(re.search(r"last answer: (\d+) tokens", slow.expect(">>> "))[1])
    check(0 < tokens < 900, f"Ctrl-C stopped after {tokens} tokens")
    slow.type(SECOND + "\r")
    slow.expect("\n")
    slow.expect(" ")
    slow.type("\x03")
    slow.expect(">>> ")
    os.kill(slow.pid, signal.SIGTERM)
    check(slow.end() == 128 + signal.SIGTERM, "SIGTERM ends a chat")
    children = subprocess.run(["pgrep", "-P", str(slow.pid)], capture_output=True, text=True).stdout
    check(not children, "no rank stays")


try:
    expected = of_the_server()
    from_a_pipe(*expected)
    in_a_terminal(*expected[:3])
    signals()
finally:
    shutil.rmtree(HOME, ignore_errors=True)
finish("chat")
