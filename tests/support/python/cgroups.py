"""Cgroups of a test's own, below the root of one hierarchy, removed when the test ends."""

import os
import pathlib
import subprocess
import time


def mounts(kind, option=''):
    command = ['findmnt', '-rn', '-t', kind, '-o', 'TARGET', *(['-O', option] if option else [])]
    return [pathlib.Path(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]


class Cgroups:
    """`version` is 2, or 1 (its pids hierarchy), or None for whichever there is."""

    def __init__(self, test, version=None):
        self.test = test
        found = [(mount, 2) for mount in mounts('cgroup2')] + [(mount, 1) for mount in mounts('cgroup', 'pids')]
        for mount, number in found:
            top = mount / f'lanyard-test-{os.getpid()}-{id(self):x}'
            if version not in (None, number):
                continue
            try:
                top.mkdir()
            except OSError:
                continue
            self.mount, self.version, self.top = mount, number, top
            test.addCleanup(self._remove, top)
            return
        test.skipTest(f'no cgroup v{version or "1 or v2"} hierarchy here in which a cgroup can be made')

    def make(self, name):
        """A cgroup below the test's own; `name` may have slashes."""
        path = self.top
        for part in name.split('/'):
            path = path / part
            if not path.exists():
                path.mkdir()
                self.test.addCleanup(self._remove, path)
        return path

    def path(self, cgroup):
        """As in /proc/PID/cgroup: relative to the hierarchy's root."""
        return f'/{cgroup.relative_to(self.mount)}'

    def selector(self, cgroup):
        return f'process:cgroup:{"" if self.version == 2 else "pids:"}{self.path(cgroup)}'

    @staticmethod
    def _remove(path):
        deadline = time.monotonic() + 5
        while path.exists():  # busy for a moment after the last process in it
            try:
                path.rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
