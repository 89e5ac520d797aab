"""Starts the real binary for a test: a node agent in a directory of its own, and programs that call it.

A Node is stopped by its own process id when the test ends, and its log is printed when the test failed. Nothing here
waits a fixed time: `eventually` asks again until a deadline.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from peers import PEERS
from process import LineProcess, drop_to, sanitized, scaled

BUILD = pathlib.Path(os.environ.get('LANYARD_BUILD') or pathlib.Path(__file__).resolve().parents[3] / 'build/dev')
ROOT = pathlib.Path(__file__).resolve().parents[3]

# Unprivileged users that no Debian system gives to anybody. Not the overflow uid 65534, which Lanyard refuses.
UID, OTHER_UID = 65531, 65532

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_DENIED = range(5)


def is_root():
    return os.geteuid() == 0


def needs_root(what):
    return unittest.skipUnless(is_root(), f'needs root: {what}')


def eventually(ask, seconds=10, what='the condition'):
    """The first true value of ask(), or a failure after so many seconds."""
    deadline = time.monotonic() + scaled(seconds)
    while True:
        value = ask()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'{what} did not come true within {scaled(seconds):.0f} s')
        time.sleep(0.02)


def entry(path, *selectors, **fields):
    """One registration entry of the trust domain example.org as a dictionary."""
    return {'spiffe_id': f'spiffe://example.org{path}', 'selectors': list(selectors), **fields}


class Node:
    """One node agent. Create it with NodeTest.node()."""

    def __init__(self, test, entries, config=(), x509_ttl='1h', preload=None, environment=None, within=()):
        self.test = test
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-test-', dir='/tmp'))
        self.dir.chmod(0o755)
        test.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.binary = shared_binary('lanyard')
        self.socket = self.dir / 'run/workload.sock'
        self.admin_socket = self.dir / 'admin/admin.sock'
        self.registry = self.dir / 'registry.d'
        self.config = self.dir / 'lanyard.yaml'
        self.data = self.dir / 'data'
        self.log = self.dir / 'agent.log'
        self.registry.mkdir()
        self.register(entries)
        self.write_config(x509_ttl, config)
        self.preload = preload
        self.environment = environment or {}
        self.within = list(within)  # a command that becomes the agent: its own arguments follow
        self.process = None
        test.addCleanup(self._clean_up)

    def write_config(self, x509_ttl='1h', more=()):
        """`more` are further top-level settings; JSON is YAML, so a dictionary will do."""
        settings = {
            'trust_domain': 'example.org',
            'data_dir': str(self.data),
            'workload_socket': {'path': str(self.socket)},
            'admin_socket': {'path': str(self.admin_socket)},
            'registry': {'paths': [str(self.registry)]},
            'svid': {'x509_ttl': x509_ttl},
            'log': {'level': 'debug'},
            'endpoints': {'metrics': '', 'health': ''},  # many agents run at once
            **dict(more),
        }
        self.config.write_text(json.dumps(settings, indent=1), encoding='utf-8')

    def register(self, entries, name='entries.yaml'):
        """Replaces a registry file in one step, as a configuration management tool does. A string is written as it is."""
        text = entries if isinstance(entries, str) else json.dumps({'entries': entries}, indent=1)
        part = self.dir / f'{name}.part'
        part.write_text(text, encoding='utf-8')
        part.replace(self.registry / name)

    def launch(self):
        """Starts the agent without waiting for it."""
        environment = {**os.environ, 'NOTIFY_SOCKET': '', **self.environment}
        if self.preload:
            environment['LD_PRELOAD'] = str(self.preload)
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [*self.within, self.binary, 'agent', '--config', self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, cwd='/')
        return self

    def start(self):
        self.launch()
        self.wait_until_it_serves()
        return self

    def wait_until_it_serves(self):
        eventually(self._serves, 20, f'that the agent serves on {self.socket}')

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the agent ended with {self.process.returncode} before it served:\n{self.log_text()}')
        return self.socket.is_socket() and self.admin_socket.is_socket() and \
            self.cli('health').returncode in (EXIT_OK, EXIT_FAILED)

    def stop(self, seconds=10):
        """SIGTERM; returns the exit code."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(scaled(seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f'the agent did not end within {scaled(seconds):.0f} s of SIGTERM') from None

    def ended(self):
        """The exit code of an agent that is to end by itself."""
        code = self.process.wait(scaled(20))
        self.process = None
        return code

    def kill(self):
        """As if the machine had lost power, for this process."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def log_text(self):
        return self.log.read_text(encoding='utf-8', errors='replace') if self.log.exists() else ''

    def resident_bytes(self):
        """Resident memory of the agent."""
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text(encoding='utf-8')
        return int(status.split('VmRSS:')[1].split()[0]) * 1024

    def open_files(self):
        """How many descriptors the agent has open. Only root may look: an agent that protects itself hides them from its own user."""
        return len(os.listdir(f'/proc/{self.process.pid}/fd'))

    def client_environment(self):
        return {**os.environ, 'SPIFFE_ENDPOINT_SOCKET': f'unix://{self.socket}',
                'LANYARD_ADMIN_SOCKET': str(self.admin_socket)}

    def run(self, command, uid=None, cgroup=None, seconds=30):
        """Runs a program that calls this agent, and returns how it ended with what it printed."""
        return subprocess.run(
            list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd='/',
            env=self.client_environment(), preexec_fn=drop_to(uid, cgroup), timeout=scaled(seconds))

    def cli(self, *arguments, **how):
        return self.run([self.binary, *arguments], **how)

    def start_lines(self, command, uid=None, cgroup=None):
        """Starts a program that prints a line at a time; it is stopped when the test ends."""
        program = LineProcess(command, self.client_environment(), drop_to(uid, cgroup))
        self.test.addCleanup(program.stop)
        return program

    def start_cli(self, *arguments, **how):
        return self.start_lines([self.binary, *arguments], **how)

    def fetch(self, **how):
        """`lanyard fetch x509` as JSON; it must work."""
        done = self.cli('fetch', 'x509', '--output', 'json', **how)
        self.test.assertEqual(done.returncode, EXIT_OK, done.stderr + self.log_text())
        return json.loads(done.stdout)

    def fetch_ids(self, **how):
        return [svid['spiffe_id'] for svid in self.fetch(**how)['svids']]

    def refused(self, **how):
        """What `lanyard fetch x509` says; it must be refused for good."""
        done = self.cli('fetch', 'x509', **how)
        self.test.assertEqual(done.returncode, EXIT_DENIED, done.stdout + done.stderr + self.log_text())
        self.test.assertEqual(done.stdout, '')
        return done.stderr

    def _clean_up(self):
        code = None
        if self.process is not None and self.process.poll() is None:
            code = self.stop()
        elif self.process is not None:
            code = self.process.returncode
        failed = self.test.failed()
        if failed or code not in (None, 0):
            print(f'--- log of the agent (exit code {code}) ---\n{self.log_text()}---')
        if not failed:
            self.test.assertIn(code, (None, 0), 'the agent did not end well')
            if sanitized():
                self.test.assertNotRegex(self.log_text(), 'Sanitizer|runtime error')


class NodeTest(unittest.TestCase):
    def node(self, entries, **options):
        """A node agent that is not started yet."""
        return Node(self, entries, **options)

    def started_node(self, entries, **options):
        return self.node(entries, **options).start()

    def failed(self):
        # Not outcome.success: unittest sets that anew for each cleanup.
        result = self._outcome and self._outcome.result
        return bool(result) and any(test is self for test, _ in [*result.failures, *result.errors])


def shared_binary(name):
    """The path of a built program that every user can execute: the build directory may lie in a home that others cannot enter."""
    return shared_file(next(path for path in (BUILD / name, BUILD / 'deploy/demo/mtls' / name) if path.exists()))


def shared_file(path):
    """`path`, or a copy of it where everybody can reach it."""
    path = pathlib.Path(path).resolve()
    if not is_root() or all(parent.stat().st_mode & 0o001 for parent in path.parents):
        return path
    about = path.stat()
    copy = PEERS / 'copies' / f'{about.st_ino:x}-{about.st_size:x}-{about.st_mtime_ns:x}' / path.name
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        part = copy.with_name(f'{path.name}.{os.getpid()}')
        shutil.copy2(path, part)
        part.chmod(0o755)
        part.replace(copy)
    return copy
