"""A Debian 12 with a real systemd as its first process, in namespaces of its own: systemd-nspawn over a minimal root.

The root is made once, by mmdebstrap, with systemd, D-Bus and the libraries that the program under test is linked with, and
kept beside the peers; a machine writes into a layer of memory above it. Nothing of a machine is left when its test ends:
its first process is killed, by its pid, and with it everything inside.
"""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

from cgroups import mounts, remove
from node import eventually, is_root, shared_binary
from peers import PEERS
from process import LineProcess, scaled

PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'libpam-systemd', 'procps', 'python3']


def libraries_of(program):
    """The Debian packages of the shared libraries that a program is linked with."""
    linked = subprocess.run(['ldd', program], capture_output=True, text=True, check=True).stdout
    files = sorted({str(pathlib.Path(path).resolve()) for path in re.findall(r'=> (/\S+)', linked)})
    owners = subprocess.run(['dpkg', '-S', *files], capture_output=True, text=True, check=False).stdout
    return sorted({line.split(':')[0] for line in owners.splitlines() if not line.startswith('diversion')})


def minimal_root(program):
    """The directory of the root file system, made if it is not there yet (a minute)."""
    packages = [*PACKAGES, *libraries_of(program)]
    name = hashlib.sha256(' '.join(packages).encode()).hexdigest()[:16]
    root = PEERS / 'machines' / name
    root.parent.mkdir(parents=True, exist_ok=True)
    with open(root.parent / 'lock', 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            part = root.with_suffix('.part')
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run(['mmdebstrap', '--quiet', '--variant=minbase', f'--include={",".join(packages)}', 'bookworm', part],
                           check=True, stdin=subprocess.DEVNULL)
            part.rename(root)
    return root


class Machine:
    """Create it with a test, put files into it with `write` once it is started."""

    def __init__(self, test):
        for program in ('systemd-nspawn', 'mmdebstrap', 'nsenter'):
            if not is_root() or not shutil.which(program):
                test.skipTest(f'needs root and {program} (deploy/packages.sh full)')
        self.test = test
        self.binary = shared_binary('lanyard')
        self.log = None
        self.process = self.leader = None
        self.shared = []
        self.binds = [(self.binary, '/usr/bin/lanyard')]
        self.name = f'lanyard-machine-{os.getpid()}'

    def bind(self, source, target):
        """Shows a file or directory in the machine, for reading. Before it is started."""
        self.binds.append((source, target))

    def share(self, path):
        """Shows a directory in the machine under its own path, for writing too. Before it is started."""
        self.shared.append(path)

    def start(self):
        root = minimal_root(self.binary)
        # systemd-nspawn makes the machine's cgroups below its own, of which it makes two.
        self.cgroups = [mount / self.name for mount in [*mounts('cgroup', 'name=systemd'), *mounts('cgroup2')]]
        for cgroup in self.cgroups:
            cgroup.mkdir()
            self.test.addCleanup(remove, cgroup)
        self.test.addCleanup(self.stop)
        command = ['systemd-nspawn', '--quiet', f'--directory={root}', '--volatile=overlay', f'--machine={self.name}',
                   '--register=no', '--keep-unit', '--private-network', '--console=pipe', '--boot',
                   *(f'--bind-ro={source}:{target}' for source, target in self.binds),
                   *(f'--bind={path}' for path in self.shared)]

        def enter_cgroups():
            for cgroup in self.cgroups:
                (cgroup / 'cgroup.procs').write_text(str(os.getpid()), encoding='ascii')
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        preexec_fn=enter_cgroups)
        self.leader = eventually(self._find_leader, 20, 'that the machine has a first process')
        eventually(lambda: self.run('systemctl', 'is-system-running').stdout.strip() == 'running', 60, 'that the machine is up')
        return self

    def _find_leader(self):
        if self.process.poll() is not None:
            raise AssertionError(f'systemd-nspawn ended with {self.process.returncode}: {self.process.stderr.read().decode()}')
        children = pathlib.Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children').read_text(encoding='ascii').split()
        # Before that it is systemd-nspawn's own child, in the making.
        return next((int(pid) for pid in children if os.path.exists(f'/proc/{pid}/root/run/systemd/private')), None)

    def path(self, path):
        """Where a path of the machine is for us."""
        return pathlib.Path(f'/proc/{self.leader}/root{path}')

    def write(self, path, text, mode=0o644):
        place = self.path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding='utf-8')
        place.chmod(mode)

    def entering(self, *command):
        """A command as it is run in the machine's namespaces: outside of all its units, but as seen by it."""
        return ['nsenter', f'--target={self.leader}', '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--',
                *map(str, command)]

    def run(self, *command, seconds=30, **how):
        return subprocess.run(self.entering(*command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              cwd='/', timeout=scaled(seconds), **how)

    def must(self, *command, **how):
        """What a command prints that has to work."""
        done = self.run(*command, **how)
        self.test.assertEqual(done.returncode, 0, f'{command}: {done.stdout}{done.stderr}')
        return done.stdout

    def start_lines(self, *command):
        """A program that prints a line at a time; it is stopped when the test ends."""
        program = LineProcess(self.entering(*command), dict(os.environ))
        self.test.addCleanup(program.stop)
        self.test.addCleanup(self.stop)  # before that: what nsenter has started outlives nsenter
        return program

    def outside(self, pid):
        """The pid by which we know a process of the machine."""
        for status in pathlib.Path('/proc').glob('[0-9]*/status'):
            try:
                text = status.read_text(encoding='utf-8')
            except OSError:
                continue
            pids = text.split('NSpid:')[1].splitlines()[0].split()
            if len(pids) > 1 and pids[1] == str(pid) and \
                    os.readlink(status.parent / 'ns/pid') == os.readlink(f'/proc/{self.leader}/ns/pid'):
                return int(pids[0])
        raise AssertionError(f'no process has the pid {pid} in the machine')

    def unit(self, name, text):
        """Writes a unit file, and makes systemd read it."""
        self.write(f'/etc/systemd/system/{name}', text)
        self.must('systemctl', 'daemon-reload')

    def show(self, unit, name):
        """One property of a unit."""
        return self.must('systemctl', 'show', '--value', f'--property={name}', unit).strip()

    def journal(self, unit):
        return self.run('journalctl', '--no-pager', '--output=cat', '--unit', unit).stdout

    def stop(self):
        process, self.process = self.process, None
        if process is None:
            return
        if self.leader:
            os.kill(self.leader, signal.SIGKILL)
        try:
            process.wait(scaled(10))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()
