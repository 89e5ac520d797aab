"""Child processes of tests: as another user, in a cgroup, read line by line."""

import json
import os
import queue
import subprocess
import threading

SANITIZE = os.environ.get('LANYARD_SANITIZE', '')


def sanitized():
    return bool(SANITIZE)


def scaled(seconds):
    """Instrumented programs are slower; deadlines follow."""
    return seconds * 4 if sanitized() else seconds * 2


def enter(cgroup):
    for one in cgroup if isinstance(cgroup, list) else [cgroup]:
        (one / 'cgroup.procs').write_text(str(os.getpid()), encoding='ascii')


def drop_to(uid=None, cgroup=None):
    """For preexec_fn: enters the cgroup (or several, of different hierarchies), then becomes the user. None where there is nothing to do."""
    if uid is None and cgroup is None:
        return None

    def prepare():
        if cgroup is not None:
            enter(cgroup)
        if uid is not None:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
    return prepare


class LineProcess:
    """A running program whose standard output is read a line at a time, each with a deadline."""

    def __init__(self, command, environment, prepare=None):
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, cwd='/', preexec_fn=prepare)
        self.pid = self.process.pid
        self.errors = []
        self._lines = queue.Queue()
        self._threads = [threading.Thread(target=self._read, daemon=True),
                         threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, seconds=10):
        """The next line; a failure when the program ended or none came."""
        try:
            line = self._lines.get(timeout=scaled(seconds))
        except queue.Empty:
            raise AssertionError(f'{self.process.args} printed nothing for {scaled(seconds):.0f} s') from None
        if line is None:
            self._lines.put(None)
            raise AssertionError(f'{self.process.args} ended with {self.wait()}: {self.error_text()}')
        return line

    def json(self, seconds=10):
        return json.loads(self.line(seconds))

    def has_line(self):
        return any(line is not None for line in list(self._lines.queue))

    def wait(self, seconds=10):
        """The exit code."""
        code = self.process.wait(scaled(seconds))
        for thread in self._threads:
            thread.join(scaled(5))
        return code

    def error_text(self):
        return ''.join(self.errors)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
