"""A service manager of our own, as small as it gets: it passes a listening socket on, hears what its service tells it, and starts it
again when it is gone."""
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import uuid

import support
from processes import children_of, lives

MARK = "COLROW_TEST_MARK"


def processes_with(mark):
    """Pids of all who inherited the mark, dead ones that are not yet collected left out."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if mark.encode() not in file.read():
                    continue
            if lives(entry):
                found.append(int(entry))
        except OSError:
            pass
    return found


class Service:
    """One service: `start()` it, read `messages`, and `end()`."""

    def __init__(self, *flags, listen=(), names=None, watchdog_us=None, model=support.DEMO, notify=True, environment=None, pid="$$", confine=None):
        self.folder = tempfile.TemporaryDirectory(prefix="colrow-service-")
        self.mark = uuid.uuid4().hex
        self.listen, self.names, self.pid, self.confine = list(listen), names, pid, confine
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.path = os.path.join(self.folder.name, "notify")
        self.socket.bind(self.path)
        self.environment = {**os.environ, MARK: self.mark, **(environment or {})}
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
            self.environment.pop(name, None)
        if notify:
            self.environment["NOTIFY_SOCKET"] = self.path
        if watchdog_us:
            self.environment["WATCHDOG_USEC"] = str(watchdog_us)
        self.command = [support.COLROW, "serve", str(model), "--served-model-name", "demo", *map(str, flags)]
        self.messages = []  # (time, text)
        self.log_path = os.path.join(self.folder.name, "log")
        self.process = None

    def start(self):
        environment = dict(self.environment)
        shell = 'exec "$@"'
        if self.listen:
            environment["LISTEN_FDS"] = str(len(self.listen))
            if self.names:
                environment["LISTEN_FDNAMES"] = self.names
            shell = f'LISTEN_PID={self.pid} && export LISTEN_PID && exec "$@"'

        def place():  # in the child: descriptors from 3 on
            high = [fcntl.fcntl(s.fileno(), fcntl.F_DUPFD, 100) for s in self.listen]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
                os.close(fd)
            if self.confine:
                self.confine()

        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(["/bin/sh", "-c", shell, "sh", *self.command], stderr=self.log, env=environment, preexec_fn=place,
                                        close_fds=False)
        self.log.close()
        return self

    def said(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def hear(self, seconds=0.0):
        """Collects what was told meanwhile."""
        until = time.monotonic() + seconds
        while select.select([self.socket], [], [], max(0.0, until - time.monotonic()))[0]:
            self.messages.append((time.monotonic(), self.socket.recv(65536).decode()))
        return self.messages

    def wait_told(self, pattern, seconds=60):
        """The first message (from now on, or heard before) that has a line which matches; None where none comes."""
        seen, until = 0, time.monotonic() + support.patience(seconds)
        while True:
            self.hear()
            for _, text in self.messages[seen:]:
                if re.search(pattern, text, re.M):
                    return text
            seen = len(self.messages)
            if time.monotonic() > until or (self.process and self.process.poll() is not None and not self.hear(0.1)[seen:]):
                return None
            self.hear(0.02)

    def told(self, pattern):
        self.hear()
        return [when for when, text in self.messages if re.search(pattern, text, re.M)]

    def forget(self):
        self.hear()
        self.messages.clear()

    def children(self):
        return children_of(self.process.pid)

    def left(self):
        return processes_with(self.mark)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM, seconds=60):
        self.process.send_signal(number)
        return self.process.wait(timeout=support.patience(seconds))

    def end(self):
        if self.process and self.process.poll() is None:
            self.kill()
        for s in [self.socket, *self.listen]:
            s.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
