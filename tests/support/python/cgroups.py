"""Cgroups of a test's own, below the root of one hierarchy, removed when the test ends; and how others are found and removed."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time


def mounts(kind, option=''):
    command = ['findmnt', '-rn', '-t', kind, '-o', 'TARGET', *(['-O', option] if option else [])]
    return [pathlib.Path(line) for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()]


def hierarchies():
    """Where each hierarchy that processes are in is mounted."""
    root = pathlib.Path('/sys/fs/cgroup')  # v2, or a directory with the hierarchies of v1
    if (root / 'cgroup.procs').exists():
        return [root]
    return sorted({path.resolve() for path in root.iterdir() if (path / 'cgroup.procs').exists()})


def tree(name):
    """The cgroups of this name at the root of each hierarchy, and all below them; the deepest first."""
    found = [path for hierarchy in hierarchies() for path, _, _ in os.walk(hierarchy / name)]
    return sorted(map(pathlib.Path, found), key=lambda path: -len(path.parts))


def kill_and_remove(cgroup):
    """Kills who is left in it, such as one who has not come as far as a file that names him. False while it cannot be removed."""
    try:
        for pid in (cgroup / 'cgroup.procs').read_text(encoding='ascii').split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # busy for a moment after the last process in it
        return False
    return True


def remove(top):
    """With all below it. Those who were in it have ended, or are about to."""
    deadline = time.monotonic() + 10
    while top.exists():
        try:
            for path, _, _ in os.walk(top, topdown=False):
                os.rmdir(path)
        except OSError:  # busy for a moment after the last process in it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Cgroups:
    """`version` is 2, or 1 (its pids hierarchy), or None for whichever there is."""

    def __init__(self, test, version=None):
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
            test.addCleanup(remove, top)
            return
        test.skipTest(f'no cgroup v{version or "1 or v2"} hierarchy here in which a cgroup can be made')

    def make(self, name):
        """A cgroup below the test's own; `name` may have slashes."""
        path = self.top / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def path(self, cgroup):
        """As in /proc/PID/cgroup: relative to the hierarchy's root."""
        return f'/{cgroup.relative_to(self.mount)}'

    def selector(self, cgroup):
        return f'process:cgroup:{"" if self.version == 2 else "pids:"}{self.path(cgroup)}'
