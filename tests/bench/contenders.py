"""The three that are measured side by side: our agent, spire-agent, and the bare server that is the floor under both.

Each has `socket`, `pid` and `stop()`, and is stopped with the test that made it. An entry is a path, selectors and perhaps a
lifetime in seconds, and means the same to ours and to SPIRE.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from cgroups import Cgroups
from node import BUILD, NodeTest, entry, eventually
from partner import put
from process import LineProcess, drop_to, scaled
from spire import Spire, free_port, spire_entry
import usage

ME = f'unix:uid:{os.geteuid()}'
LOAD = BUILD / 'tests/bench/workload_load'
PARTNER = 'partner.example'  # a foreign trust domain


def program(name):
    return BUILD / 'tests/bench' / name


def mine(path='/me', ttl=None):
    """An entry that this process earns."""
    return (path, [ME], ttl)


def others(count):
    """Entries that nobody who calls here earns."""
    return [(f'/agent/{number}', [f'unix:uid:{100_000 + number}', f'unix:gid:{100_000 + number}'], None) for number in range(count)]


class Contender:
    """What all three have in common: asking and looking at them."""

    name = None

    def load(self, *arguments, seconds=120, cgroup=None):
        """One run of workload_load against this one; what it printed."""
        program_ = LineProcess([LOAD, arguments[0], self.socket, *arguments[1:]], os.environ, drop_to(cgroup=cgroup))
        try:
            return program_.json(seconds)
        finally:
            program_.stop()

    def cpu_seconds(self):
        return usage.cpu_seconds(self.pid)

    def resident(self):
        return usage.resident_bytes(self.pid)

    def private(self):
        return usage.private_bytes(self.pid)

    def peak(self):
        return usage.peak_bytes(self.pid)

    def serves(self, seconds=60):
        """Waits for a first message, and returns how many SVIDs were in it."""
        return self.load('first', seconds, seconds=seconds + 10)['svids']

    def until_it_serves(self, svids, seconds=60):
        """spire-agent gets entries by polling, and may serve some before it has all."""
        eventually(lambda: self.serves() == svids, seconds, f'that {self.name} serves {svids} SVIDs')


class Ours(Contender):
    """Our agent with the settings that a user gets, but for the log and where things lie. `foreign`: the bundle document of
    PARTNER, with which every entry federates then. `limited`: with the limits of one caller, too, that a user gets. `docker`: the
    socket of an engine that it asks; `kubelet`: one of kubelet.py."""

    name = 'ours'

    def __init__(self, test, entries, connections=None, cpus=None, reattestation_interval='1m', foreign=None, limited=False,
                 docker=None, kubelet=None):
        self.cpus, self.foreign = cpus, foreign
        config = {'log': {'level': 'warn'}, 'endpoints': {one: f'127.0.0.1:{free_port()}' for one in ('metrics', 'health')}}
        config['limits'] = {'reattestation_interval': reattestation_interval}
        if docker:
            config['attestors'] = {'docker': {'socket': str(docker)}}
        if kubelet:
            config['attestors'] = {'kubernetes': kubelet.configuration()}
        if not limited:  # a load is one caller, which calls as fast as it can
            limits = dict.fromkeys(('connections_per_second', 'calls_per_second', 'calls_in_flight', 'streams'), 1_000_000)
            config['limits'] |= {'per_caller': limits | {'connections': (connections or 1000) + 100},
                                 'per_identity': dict.fromkeys(('calls_per_second', 'streams'), 1_000_000)}
        self.metrics = config['endpoints']['metrics']
        self.node = test.node([self._entry(one) for one in entries], config=config.items())
        self.socket = self.node.socket
        if foreign:
            self.change_bundle(foreign)
            config['federation'] = {'trust_domains': {PARTNER: {'bundle_path': str(self.bundle_file)}}}
            self.node.write_config(more=config.items())

    def _entry(self, one):
        path, selectors, ttl = one
        fields = {'x509_ttl': f'{ttl}s'} if ttl else {}
        if self.foreign:
            fields['federates_with'] = [f'spiffe://{PARTNER}']
        return entry(path, *selectors, **fields)

    def start(self):
        self.node.launch()
        if self.cpus:
            os.sched_setaffinity(self.pid, self.cpus)
        return self

    @property
    def pid(self):
        return self.node.process.pid

    def prepare_change(self, entries):
        """Writes the file that `change` will put in place of the registry."""
        self.part = self.node.dir / 'next.part'
        self.part.write_text(json.dumps({'entries': [self._entry(one) for one in entries]}), encoding='utf-8')

    def change(self):
        self.part.replace(self.node.registry / 'entries.yaml')

    @property
    def bundle_file(self):
        return self.node.dir / 'partner.json'

    def change_bundle(self, document):
        put(self.bundle_file, document)

    def stop(self):
        if self.node.process:
            self.node.stop()


class SpireAgent(Contender):
    """spire-agent with SPIRE's defaults, and a server of its own. `discover_path`: it finds out path and hash of executables, too."""

    name = 'spire'

    def __init__(self, test, entries, connections=None, cpus=None, foreign=None, docker=None, kubelet=None, discover_path=False):
        del connections  # it has no limit of them
        attestor = ''
        if docker:
            attestor = f'WorkloadAttestor "docker" {{ plugin_data {{ docker_socket_path = "unix://{docker}" }} }}'
        if kubelet:
            attestor = (f'WorkloadAttestor "k8s" {{ plugin_data {{ kubelet_secure_port = {kubelet.port} '
                        f'kubelet_ca_path = "{kubelet.ca}" token_path = "{kubelet.token_file}" }} }}')
        self.spire = Spire(test, cpus=cpus, attestors=attestor, discover_path=discover_path)
        self.entries, self.foreign = entries, foreign
        self.socket = self.spire.socket

    def _entry(self, one):
        path, selectors, ttl = one
        return spire_entry(path, *selectors, ttl=ttl, federates_with=[f'spiffe://{PARTNER}'] if self.foreign else [])

    def start(self):
        """The first time with the server; later the agent alone, with what it has on disk."""
        if self.spire.server:
            self.spire.start_agent()
            return self
        if self.foreign:
            self.spire.start_server()
            self.change_bundle(self.foreign)
        self.spire.start([self._entry(one) for one in self.entries])
        return self

    @property
    def pid(self):
        return self.spire.process.pid

    def prepare_change(self, entries):
        self.entries, before = entries, self.entries
        self.added = [self._entry(one) for one in entries[len(before):]]

    def change(self):
        self.spire.register(self.added)

    def change_bundle(self, document):
        self.spire.set_bundle(PARTNER, document)

    def stop(self):
        self.spire.stop_agent()


class Bare(Contender):
    """The bare server with as many identities; `without` a recipe (see bare_server.cc) where that is what is measured."""

    name = 'limit'

    def __init__(self, test, entries, connections=None, cpus=None, without='', foreign=None):
        del connections, cpus, foreign
        self.identities, self.without = len(entries), without
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-bare-', dir='/tmp'))
        test.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        test.addCleanup(self.stop)
        self.socket = self.dir / 'bare.sock'
        self.process = None

    def start(self):
        self.process = subprocess.Popen([program('bare_server'), self.socket, str(self.identities), self.without], stdin=subprocess.PIPE)
        return self

    @property
    def pid(self):
        return self.process.pid

    def prepare_change(self, entries):
        self.identities = len(entries)

    def change(self):
        self.process.stdin.write(b'\n')
        self.process.stdin.flush()

    def change_bundle(self, document):
        del document  # what is pushed makes no difference
        self.change()

    def stop(self):
        process, self.process = self.process, None
        if process:
            process.stdin.close()
            process.wait(scaled(10))


class Held:
    """Open streams on one contender, held by workload_load: of X.509-SVIDs, or `kind`. Our agent lets one caller have half of its
    connections at most; more streams are those of several cgroups, so that they are several callers."""

    PER_CALLER = 4000
    MERGED = {'least_messages': min, 'fewest': min, 'least_left_s': min, 'first': min,
              'most_messages': max, 'longest_silence_s': max, 'last': max, 'opened_s': max}  # the others are sums

    def __init__(self, bench, contender, count, kind='streams'):
        callers = -(-count // self.PER_CALLER)
        cgroups = Cgroups(bench) if callers > 1 else None
        self.programs = []
        for number in range(callers):
            share = count // callers + (number < count % callers)
            prepare = drop_to(cgroup=cgroups.make(str(number))) if cgroups else None
            self.programs.append(LineProcess([LOAD, kind, contender.socket, share], os.environ, prepare))
            bench.addCleanup(self.programs[-1].stop)
        self.opened_seconds = self._heard(120)['opened_s']

    @property
    def pids(self):
        return [program_.pid for program_ in self.programs]

    def _say(self, text):
        for program_ in self.programs:
            program_.process.stdin.write(f'{text}\n')
            program_.process.stdin.flush()

    def _heard(self, seconds):
        """What each program says next, in one."""
        heard = [program_.json(seconds) for program_ in self.programs]
        return {key: self.MERGED.get(key, sum)([one[key] for one in heard]) for key in heard[0]}

    def mark(self):
        self._say('mark')

    def report(self):
        self._say('report')
        return self._heard(30)

    def expect(self, what, seconds):
        """Asks to be told when every stream has so many SVIDs, or 'another' content than now; `told` waits for it."""
        self._say(f'expect {what} {seconds}')

    def told(self, seconds):
        return self._heard(seconds + 10)

    def close(self):
        for program_ in self.programs:
            program_.stop()


class Bench(NodeTest):
    """One part: a method measures everything in it. The runner sets the attributes."""

    results = None
    rounds = 3
    quick = False
    with_spire = True

    def contenders(self, entries, limit=True, **how):
        """The contenders that take part, not started, in the order in which they are measured."""
        kinds = [Ours, *([SpireAgent] if self.with_spire else []), *([Bare] if limit else [])]
        return [kind(self, entries, **how) for kind in kinds]

    def started(self, entries, **how):
        """The contenders, started and warm: each has answered."""
        all_ = [one.start() for one in self.contenders(entries, **how)]
        for one in all_:
            one.serves()
        return all_

    def all_served(self, one, times, what):
        """Whether none of these is None. Whom our agent has not served fails the benchmark; whom spire-agent has not is told."""
        missed = times.count(None)
        if missed:
            said = f'{one.name}: {missed} of {len(times)} {what} were not served'
            self.assertNotEqual(one.name, 'ours', said)
            print(said, flush=True)
        return not missed

    def add(self, row, contender, value):
        self.results.add(row, contender if isinstance(contender, str) else contender.name, value)

