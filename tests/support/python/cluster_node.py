"""The node of a cluster: namespaces of its own, in which programs are started, and which go at once with all that is in them.

What is in the state directory outlives this process, so that another one can go on: who the first process is, and which
programs were started. cluster_init.sh says what the node shares with the machine.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

from cgroups import hierarchies, kill_and_remove, tree
from process import enter

NAME, ADDRESS = 'node1', '10.99.0.1'
INIT = pathlib.Path(__file__).with_name('cluster_init.sh')
# As for a service: nothing of the caller's environment, which may name proxies.
ENVIRONMENT = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': '/run/root', 'LC_ALL': 'C.UTF-8'}
SHARED = ('/etc', '/run', '/var/lib', '/var/log')  # where cluster_init.sh mounts something of the node's


class ClusterError(Exception):
    """What was attempted, on what, and why it failed."""


def until(true, seconds, what):
    """The first true value of true(), asked five times a second: programs that start have better things to do."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        if time.monotonic() > deadline:
            raise ClusterError(f'{what} did not come true within {seconds} s')
        time.sleep(0.2)
    return value


class ClusterNode:
    """Thread: one at a time. `state` is a directory of this node alone."""

    def __init__(self, state):
        self.state = pathlib.Path(state).resolve()
        for place in SHARED:
            if self.state.is_relative_to(place):
                raise ClusterError(f'use {self.state} as the state of a cluster: {place} is another one on its node; '
                                   'choose a directory elsewhere')

    @property
    def cgroup(self):
        """Below the root of each hierarchy; the same whenever the node is booted. The state directory must be there."""
        about = self.state.stat()
        return f'lanyard-cluster-{about.st_dev:x}-{about.st_ino:x}'

    def init(self):
        """The pid of the first process, while it runs."""
        with contextlib.suppress(OSError, ValueError):
            pid, started = (self.state / 'init').read_text(encoding='ascii').split()
            if started == _start_time(pid):
                return int(pid)
        return None

    def boot(self):
        """Makes the namespaces."""
        for name in ('log', 'pids', 'layers', 'data'):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        self._make_cgroups()
        with open(self.log('init'), 'ab') as log:
            outer = subprocess.Popen(
                ['unshare', '--mount', '--net', '--uts', '--ipc', '--pid', '--fork', '--mount-proc', 'bash', INIT,
                 self.state, NAME, ADDRESS],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=ENVIRONMENT, cwd='/',
                start_new_session=True, preexec_fn=lambda: enter(self._system_cgroups()))
        with outer.stdout:
            ready = outer.stdout.readline() == 'ready\n'
        children = pathlib.Path(f'/proc/{outer.pid}/task/{outer.pid}/children')
        pids = children.read_text(encoding='ascii').split() if children.exists() else []
        if not ready or len(pids) != 1:
            outer.kill()
            raise ClusterError(f'make the namespaces of the node in {self.state}: {self.log_end("init")}')
        (self.state / 'init').write_text(f'{pids[0]} {_start_time(pids[0])}\n', encoding='ascii')

    def power_off(self):
        """Kills the first process, with which the kernel kills all others there, and removes what they leave on the machine.
        The disk stays."""
        pid = self.init()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until(lambda: self.init() is None, 60, f'the end of the node\'s first process {pid}')
        for file in (self.state / 'pids').glob('*'):
            file.unlink()
        for cgroup in tree(self.cgroup):
            until(lambda path=cgroup: kill_and_remove(path), 60, f'that the cgroup {cgroup} can be removed')

    def remove(self):
        """The disk, too."""
        self.power_off()
        shutil.rmtree(self.state)

    def command(self, *command):
        """A command as it is run on the node."""
        pid = self.init()
        if pid is None:
            raise ClusterError(f'run {command[0]} on the node in {self.state}: the node is not up')
        return ['nsenter', f'--target={pid}', '--mount', '--net', '--uts', '--ipc', '--pid', '--', *map(str, command)]

    def run(self, *command, text=None, stdin=subprocess.DEVNULL, seconds=120):
        """How it ended, with what it printed; its standard input is a text, or an open file."""
        source = {'stdin': stdin} if text is None else {'input': text}
        try:
            return subprocess.run(self.command(*command), capture_output=True, text=True, check=False, env=ENVIRONMENT, cwd='/',
                                  timeout=seconds, preexec_fn=lambda: enter(self._system_cgroups()), **source)
        except subprocess.TimeoutExpired:
            raise ClusterError(f'{" ".join(map(str, command))} did not end within {seconds} s') from None

    def must(self, *command, **how):
        """What a command prints that has to work."""
        done = self.run(*command, **how)
        if done.returncode != 0:
            raise ClusterError(f'{" ".join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}')
        return done.stdout

    def path(self, path):
        """Where a path of the node is for us."""
        return pathlib.Path(f'/proc/{self.init()}/root{path}')

    def start(self, name, *command):
        """Starts a program that goes on, with a log of its own."""
        if self.running(name):
            raise ClusterError(f'start {name} on the node in {self.state}: it runs already')
        # Of the node's first process from then on, since this shell ends.
        script = 'setsid "$@" </dev/null >>"$0" 2>&1 & echo $!'
        pid = self.must('sh', '-c', script, self.log(name), *command)
        (self.state / 'pids' / name).write_text(pid, encoding='ascii')

    def running(self, name):
        file = self.state / 'pids' / name
        return file.exists() and self.run('kill', '-0', file.read_text(encoding='ascii').strip()).returncode == 0

    def stop(self, name, signal_name='TERM'):
        """Stops one program; containers go on running without containerd and the kubelet."""
        file = self.state / 'pids' / name
        self.must('kill', f'-{signal_name}', file.read_text(encoding='ascii').strip())
        until(lambda: not self.running(name), 30, f'the end of {name}')
        file.unlink()

    def log(self, name):
        """The file with what a program has written."""
        return self.state / f'log/{name}.log'

    def log_end(self, name, lines=20):
        file = self.log(name)
        text = file.read_text(encoding='utf-8', errors='replace') if file.exists() else ''
        return '\n'.join(text.splitlines()[-lines:])

    def _make_cgroups(self):
        """Of the node, for the kubelet's containers, and below them one for the node's own programs."""
        top = pathlib.Path('/sys/fs/cgroup')
        if (top / 'cgroup.controllers').exists():
            (top / 'cgroup.subtree_control').write_text('+cpu +cpuset +memory +pids', encoding='ascii')
        for hierarchy in hierarchies():
            for path in (hierarchy / self.cgroup, hierarchy / self.cgroup / 'system'):
                path.mkdir(exist_ok=True)
                for name in ('cpuset.cpus', 'cpuset.mems'):  # v1 has none at first, and then nobody may enter
                    if hierarchy.name == 'cpuset':
                        (path / name).write_text((path.parent / name).read_text(encoding='ascii'), encoding='ascii')

    def _system_cgroups(self):
        return [hierarchy / self.cgroup / 'system' for hierarchy in hierarchies()]


def _start_time(pid):
    """In clock ticks since the machine started: with it a pid names one process for ever."""
    return pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='ascii', errors='replace').rsplit(')', 1)[1].split()[19]
