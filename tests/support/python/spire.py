"""SPIRE's server and agent, as tests/peers.sh builds them: the reference that Lanyard is compared with.

A Spire is one server and one agent of the trust domain example.org, in a directory of its own, stopped when the test ends.
Settings are SPIRE's defaults, but for what a test asks and what makes it start from nothing: SQLite, join token, agent
keys on disk (so that it can be started again), the unix attestor; and the server's brake of 500 signatures a second is
off, since it would be measured in place of the agent.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from node import eventually
from peers import PEERS
from process import drop_to

PARENT = 'spiffe://example.org/host'


def spire_binary(name):
    """The path of spire-server or spire-agent; None when the compiled peers are not built."""
    path = PEERS / 'bin' / name
    return path if path.exists() else None


def spire_entry(path, *selectors, ttl=None, federates_with=()):
    """One registration entry as `spire-server entry create -data` reads it; selectors as Lanyard writes them."""
    pairs = [selector.split(':', 1) for selector in selectors]
    entry = {'spiffe_id': f'spiffe://example.org{path}', 'parent_id': PARENT,
             'selectors': [{'type': kind, 'value': value} for kind, value in pairs]}
    if ttl:
        entry['x509_svid_ttl'] = ttl
    if federates_with:
        entry['federates_with'] = list(federates_with)
    return entry


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Spire:
    """Create it with a test; `start` it, `register` entries, and stop or start the agent again at will."""

    def __init__(self, test, x509_ttl='1h', cpus=None, attestors='', log_level='WARN', entering=lambda *command: command,
                 discover_path=False):
        """`attestors`: further sections of the agent's plugins; `log_level` is the agent's; `entering` turns a command into one
        that runs elsewhere (machine.py), where this directory must be too; `discover_path`: the unix attestor finds out path and
        hash of the executable, too."""
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-spire-', dir='/tmp'))
        self.dir.chmod(0o755)
        test.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        test.addCleanup(self.stop)
        self.socket = self.dir / 'agent.sock'
        self.server_socket = self.dir / 'server.sock'
        self.log = self.dir / 'spire.log'
        self.port = free_port()
        self.attestors, self.log_level, self.entering = attestors, log_level, entering
        self.discover_path = 'true' if discover_path else 'false'
        self.cpus = cpus  # the processors that the agent may use
        self.server = self.process = None
        (self.dir / 'server.conf').write_text(self._server_conf(x509_ttl), encoding='utf-8')

    def _server_conf(self, x509_ttl):
        return f'''
server {{
  bind_address = "127.0.0.1"
  bind_port = "{self.port}"
  socket_path = "{self.server_socket}"
  trust_domain = "example.org"
  data_dir = "{self.dir}"
  log_level = "WARN"
  default_x509_svid_ttl = "{x509_ttl}"
  ratelimit {{ attestation = false, signing = false }}
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3", connection_string = "{self.dir}/server.sqlite3" }} }}
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
'''

    def _agent_conf(self, token):
        return f'''
agent {{
  server_address = "127.0.0.1"
  server_port = "{self.port}"
  socket_path = "{self.socket}"
  trust_domain = "example.org"
  data_dir = "{self.dir}"
  log_level = "{self.log_level}"
  insecure_bootstrap = true
  join_token = "{token}"
}}
plugins {{
  KeyManager "disk" {{ plugin_data {{ directory = "{self.dir}" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{ discover_workload_path = {self.discover_path} }} }}
  {self.attestors}
}}
'''

    def start(self, entries=()):
        """The server with these entries, and the agent; returns when the agent has its socket."""
        if not self.server:
            self.start_server()
        if entries:
            self.register(entries)
        token = json.loads(self.server_cli('token', 'generate', '-spiffeID', PARENT, '-output', 'json'))['value']
        (self.dir / 'agent.conf').write_text(self._agent_conf(token), encoding='utf-8')
        self.start_agent()
        eventually(self._serves, 30, f'that spire-agent serves on {self.socket}')
        return self

    def start_server(self):
        self.server = self._launch('spire-server', 'server.conf')
        eventually(lambda: self._is_up(self.server, self.server_socket), 30, f'that spire-server serves on {self.server_socket}')

    def start_agent(self):
        """Without waiting for it."""
        self.process = self._launch('spire-agent', 'agent.conf', self.cpus)

    def _launch(self, name, conf, cpus=None):
        prepare = (lambda: os.sched_setaffinity(0, cpus)) if cpus else drop_to()
        with open(self.log, 'ab') as log:
            return subprocess.Popen(self.entering(spire_binary(name), 'run', '-config', self.dir / conf), stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log, cwd=self.dir, preexec_fn=prepare)

    def _is_up(self, process, path):
        if process.poll() is not None:
            raise AssertionError(f'it ended with {process.returncode}:\n{self.log.read_text(encoding="utf-8")}')
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    def _serves(self):
        return self._is_up(self.process, self.socket)

    def server_cli(self, *arguments, text=None):
        done = subprocess.run([spire_binary('spire-server'), *map(str, arguments), '-socketPath', self.server_socket],
                              input=text, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f'spire-server {" ".join(map(str, arguments))}: {done.stdout}{done.stderr}')
        return done.stdout

    def register(self, entries):
        """Creates entries (see spire_entry) in one request. The agent has them at its next poll, every 5 s."""
        self.server_cli('entry', 'create', '-data', '-', text=json.dumps({'entries': list(entries)}))

    def set_bundle(self, trust_domain, document):
        """Gives the server the bundle document of another trust domain. The agent has it at its next poll."""
        self.server_cli('bundle', 'set', '-id', f'spiffe://{trust_domain}', '-format', 'spiffe', text=document)

    def selectors_seen(self):
        """Type and value of each selector that the agent, with log_level DEBUG, has found for anybody."""
        lines = [line for line in self.log.read_text(encoding='utf-8').splitlines() if 'attested to have selectors' in line]
        return {(kind, value) for line in lines
                for kind, value in re.findall(r'type:\\"(.*?)\\" +value:\\"(.*?)\\"', line)}

    def stop_agent(self):
        self._end(self.process)
        self.process = None

    def stop(self):
        for process in (self.process, self.server):
            self._end(process)
        self.process = self.server = None

    @staticmethod
    def _end(process):
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
        process.wait()
