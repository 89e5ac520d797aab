"""The systemd attestor beside a real systemd, which is the first process of a machine of the test's own.

The node agent runs there as its users run it: as the units of deploy/systemd, with all their restrictions.
"""

import json
import os
import re
import signal
import unittest

from machine import Machine
from node import EXIT_DENIED, EXIT_FAILED, EXIT_OK, ROOT, UID, entry, eventually
from spire import Spire, spire_binary, spire_entry

SOCKET = '/run/lanyard/workload.sock'
SUPPORT = ROOT / 'tests/support/python'

SLEEPER = '''
[Service]
ExecStart=/bin/sleep infinity
User=agents
'''


class SystemdTest(unittest.TestCase):
    def setUp(self):
        self.machine = Machine(self)
        self.machine.bind(SUPPORT / 'raw_call.py', '/opt/test/raw_call.py')
        self.machine.bind(SUPPORT / 'pid_taker.py', '/opt/test/pid_taker.py')

    def start(self, *entries, systemd=None):
        """The machine, and in it the node agent with these entries."""
        machine = self.machine.start()
        machine.must('useradd', '--uid', UID, 'agents')
        settings = {'trust_domain': 'example.org', 'log': {'level': 'debug'}, 'attestors': {'systemd': {'timeout': '9s', **(systemd or {})}}, 'limits': {'attestation_timeout': '9s'},
                    'endpoints': {'metrics': '', 'health': ''}}
        machine.write('/etc/lanyard/lanyard.yaml', json.dumps(settings))
        self.register(*entries)
        for unit in ('lanyard.service', 'lanyard.socket'):
            machine.write(f'/etc/systemd/system/{unit}', (ROOT / 'deploy/systemd' / unit).read_text(encoding='utf-8'))
        self.addCleanup(self.show_log)
        machine.must('systemctl', 'daemon-reload')
        machine.must('systemctl', 'start', 'lanyard.service')
        return machine

    def show_log(self):
        result = self._outcome and self._outcome.result
        if result and any(test is self for test, _ in [*result.failures, *result.errors]):
            print(f'--- log of the agent ---\n{self.machine.journal("lanyard.service")}---')

    def register(self, *entries):
        self.machine.write('/etc/lanyard/registry.d/entries.yaml', json.dumps({'entries': list(entries)}))

    def attest(self, pid, *more):
        return self.machine.run('lanyard', 'attest', pid, '--output', 'json', *more)

    def selectors(self, pid):
        """What systemd says about a process. A gap is a failure."""
        done = self.attest(pid)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual([one.get('gaps', []) for one in seen['attestors'] if one['type'] == 'systemd'], [[]], seen)
        return {text.removeprefix('systemd:') for text in seen['selectors'] if text.startswith('systemd:')}

    def gap(self, pid):
        """Why nothing could be found out about a process."""
        seen = json.loads(self.attest(pid).stdout)
        [[gap]] = [one['gaps'] for one in seen['attestors'] if one['type'] == 'systemd']
        self.assertEqual(gap['prefix'], 'systemd')
        self.assertFalse([text for text in seen['selectors'] if text.startswith('systemd:')])
        return gap['why']

    def service(self, name, text=SLEEPER):
        """Starts a service and returns its main process."""
        self.machine.unit(name, text)
        self.machine.must('systemctl', 'start', name)
        pid = self.main_pid(name)
        self.assertNotEqual(pid, 0, self.machine.journal(name))
        return pid

    def main_pid(self, unit):
        return int(self.machine.show(unit, 'MainPID'))

    def shown(self, unit):
        """The selectors that a process of the unit should have, from what systemctl says."""
        kinds = {'id': 'Id', 'fragment_path': 'FragmentPath', 'slice': 'Slice', 'invocation_id': 'InvocationID'}
        shown = {kind: self.machine.show(unit, name) for kind, name in kinds.items()}
        return {f'{kind}:{value}' for kind, value in shown.items() if value}

    def fetch_in(self, *properties, uid=UID):
        """`lanyard fetch x509` in a unit of these properties for systemd-run."""
        done = self.machine.run('systemd-run', '--quiet', '--wait', '--pipe', '--collect', f'--uid={uid}', *properties,
                                'lanyard', 'fetch', 'x509', '--output', 'json', '--timeout', '5s')
        return done.returncode, [svid['spiffe_id'] for svid in json.loads(done.stdout)['svids']] if done.stdout else done.stderr

    def cgroups_of(self, pid):
        """The directories in the machine of the cgroups by which systemd knows a process: v1's and v2's, or either."""
        lines = self.machine.must('cat', f'/proc/{pid}/cgroup').splitlines()
        paths = {controllers: path for _, controllers, path in (line.split(':', 2) for line in lines)}
        places = {'name=systemd': '/sys/fs/cgroup/systemd', '': '/sys/fs/cgroup/unified' if len(paths) > 1 else '/sys/fs/cgroup'}
        return [place + paths[name] for name, place in places.items() if name in paths]

    def watch_questions(self):
        """A program that prints a line for each time that systemd is asked for a unit by pid."""
        monitor = self.machine.start_lines('busctl', 'monitor', '--json=short', "--match=type='method_call',member='GetUnitByPID'")
        eventually(lambda: 'Monitoring' in monitor.error_text(), what='that the bus is monitored')
        return monitor

    def hold_systemd(self):
        """Until it is let go, systemd answers nothing."""
        os.kill(self.machine.leader, signal.SIGSTOP)
        self.addCleanup(self.let_systemd_go)

    def let_systemd_go(self):
        if self.machine.process:
            os.kill(self.machine.leader, signal.SIGCONT)

    def test_a_service_is_known_by_its_name_file_slice_and_run(self):
        self.start()
        pid = self.service('refund.service', SLEEPER + 'Slice=agents.slice\n')
        self.assertEqual(self.shown('refund.service'), self.selectors(pid))
        self.assertEqual(self.selectors(pid), {
            'id:refund.service', 'fragment_path:/etc/systemd/system/refund.service', 'slice:agents.slice',
            f'invocation_id:{self.machine.show("refund.service", "InvocationID")}'})

    def test_a_service_gets_its_identity_and_its_next_run_not_that_of_the_last(self):
        self.start(entry('/refund', 'systemd:id:refund.service', 'systemd:slice:agents.slice', f'unix:uid:{UID}'))
        self.assertEqual(self.fetch_in('--unit=refund.service', '--slice=agents.slice'), (EXIT_OK, ['spiffe://example.org/refund']))
        for properties in (['--unit=other.service', '--slice=agents.slice'], ['--unit=refund.service', '--slice=system.slice']):
            self.assertEqual(self.fetch_in(*properties)[0], EXIT_DENIED, properties)
        pid = self.service('planner.service')
        run = self.machine.show('planner.service', 'InvocationID')
        self.register(entry('/run', f'systemd:invocation_id:{run}'))
        self.machine.must('systemctl', 'reload', 'lanyard.service')
        self.assertEqual(self.earned(pid), ['spiffe://example.org/run'])
        self.machine.must('systemctl', 'restart', 'planner.service')
        self.assertEqual(self.earned(self.main_pid('planner.service')), [])

    def earned(self, pid):
        return [one['spiffe_id'] for one in json.loads(self.attest(pid).stdout)['entries'] if one['verdict'] == 'earned']

    def test_an_instance_of_a_template_and_a_service_started_by_an_alias_have_their_own_names(self):
        self.start()
        self.machine.unit('agent@.service', SLEEPER)
        self.machine.must('systemctl', 'start', 'agent@x.service', r'agent@a\x2db.service')
        for unit in ('agent@x.service', r'agent@a\x2db.service'):
            found = self.selectors(self.main_pid(unit))
            self.assertEqual(found, self.shown(unit))
            self.assertLessEqual({f'id:{unit}', 'fragment_path:/etc/systemd/system/agent@.service'}, found)
        self.machine.unit('refund.service', SLEEPER + '[Install]\nAlias=payout.service\n')
        self.machine.must('systemctl', 'enable', 'refund.service')
        self.machine.must('systemctl', 'start', 'payout.service')
        found = self.selectors(self.main_pid('payout.service'))
        self.assertIn('id:refund.service', found)
        self.assertNotIn('payout', ''.join(found))

    def test_transient_units_are_known_like_others(self):
        self.start()
        self.machine.must('systemd-run', '--unit=once.service', '--slice=agents.slice', 'sleep', 'infinity')
        found = self.selectors(self.main_pid('once.service'))
        self.assertEqual(found, self.shown('once.service'))
        self.assertIn('fragment_path:/run/systemd/transient/once.service', found)
        self.machine.start_lines('systemd-run', '--quiet', '--scope', '--unit=task.scope', 'sleep', '600')
        eventually(lambda: self.machine.run('systemctl', 'is-active', 'task.scope').returncode == 0, what='that the scope is there')
        [pid, *_] = self.machine.must('cat', self.scope_cgroup('task.scope') + '/cgroup.procs').split()
        found = self.selectors(pid)
        self.assertEqual(found, self.shown('task.scope'))
        self.assertLessEqual({'id:task.scope', 'slice:system.slice'}, found)

    def scope_cgroup(self, unit):
        return self.cgroups_of(1)[0].removesuffix('/init.scope') + self.machine.show(unit, 'ControlGroup')

    def test_a_process_outside_all_units_has_no_selectors_and_that_is_no_gap(self):
        self.start()
        program = self.machine.start_lines('sh', '-c', 'echo $$; exec sleep 600')
        self.assertEqual(self.selectors(int(program.line())), set())

    def test_a_cgroup_that_a_user_makes_is_never_taken_for_a_unit_of_that_name(self):
        self.start()
        self.service('refund.service')
        # A service to whose user its part of the tree is delegated.
        pid = self.service('tenant.service', '''
[Service]
User=agents
Delegate=yes
ExecStart=/bin/sleep infinity
''')
        for cgroup in self.cgroups_of(pid):
            # As the user: it may do so there.
            self.machine.must('setpriv', f'--reuid={UID}', f'--regid={UID}', '--clear-groups', 'sh', '-c',
                              f'mkdir -p {cgroup}/system.slice/refund.service && echo {pid} >{cgroup}/system.slice/refund.service/cgroup.procs')
        self.assertTrue(all(path.endswith('/tenant.service/system.slice/refund.service') for path in self.cgroups_of(pid)))
        self.assertIn('id:tenant.service', self.selectors(pid))
        self.assertNotIn('id:refund.service', self.selectors(pid))

        # A service of the same name, of a user's own systemd.
        self.machine.must('useradd', '--create-home', '--uid', '1042', 'mallory')
        self.machine.must('loginctl', 'enable-linger', 'mallory')
        eventually(lambda: self.machine.run('systemctl', 'is-active', 'user@1042.service').returncode == 0, what="mallory's systemd")
        self.machine.write('/home/mallory/.config/systemd/user/refund.service', '[Service]\nExecStart=/bin/sleep infinity\n')
        as_mallory = ['setpriv', '--reuid=1042', '--regid=1042', '--clear-groups', 'env', 'XDG_RUNTIME_DIR=/run/user/1042',
                      'systemctl', '--user']
        self.machine.must(*as_mallory, 'start', 'refund.service')
        pid = int(self.machine.must(*as_mallory, 'show', '--value', '--property=MainPID', 'refund.service'))
        self.assertTrue(all(path.endswith('/refund.service') for path in self.cgroups_of(pid)[-1:]), self.cgroups_of(pid))
        found = self.selectors(pid)
        self.assertLessEqual({'id:user@1042.service', 'slice:user-1042.slice'}, found)
        self.assertNotIn('refund', ''.join(found))

    def test_a_process_that_moves_to_another_unit_while_it_is_attested_is_refused(self):
        self.start(entry('/refund', 'systemd:id:refund.service'))
        victim, other = self.service('refund.service'), self.service('other.service')
        cgroups = self.cgroups_of(victim)
        questions = self.watch_questions()
        self.hold_systemd()
        asked = self.machine.start_lines('lanyard', 'attest', str(other))
        questions.line()
        for cgroup in cgroups:
            self.machine.path(f'{cgroup}/cgroup.procs').write_text(str(self.machine.outside(other)), encoding='ascii')
        self.let_systemd_go()
        self.assertNotEqual(asked.wait(), EXIT_OK)
        self.assertIn('moved to another cgroup while being attested', asked.error_text())

    def test_a_reexecuted_systemd_and_a_new_bus_are_found_again_without_a_restart_of_the_agent(self):
        self.start()
        agent, pid = self.main_pid('lanyard.service'), self.service('refund.service')
        before = self.selectors(pid)
        self.machine.must('systemctl', 'daemon-reexec')
        eventually(lambda: self.machine.run('busctl', 'status', 'org.freedesktop.systemd1').returncode == 0, what='that systemd is back')
        self.assertEqual(self.selectors(pid), before)
        bus = self.main_pid('dbus.service')
        self.machine.must('systemctl', 'kill', '--signal=KILL', 'dbus.service')
        eventually(lambda: self.machine.run('busctl', 'status', 'org.freedesktop.systemd1').returncode == 0, what='that the bus is back')
        self.assertNotEqual(self.main_pid('dbus.service'), bus)
        self.assertEqual(self.selectors(pid), before)
        self.assertEqual(self.main_pid('lanyard.service'), agent)

    def test_a_process_that_takes_the_pid_of_one_that_exits_while_it_is_attested_brings_it_nothing(self):
        self.start(entry('/refund', 'systemd:id:refund.service'))
        cgroups = self.cgroups_of(self.service('refund.service'))
        questions = self.watch_questions()
        self.hold_systemd()
        attacker = self.machine.start_lines('python3', '-B', '/opt/test/pid_taker.py', SOCKET, *cgroups)
        pid = attacker.json()['pid']
        operator = self.machine.start_lines('lanyard', 'attest', str(pid))
        questions.line()  # for its call
        questions.line()  # for the operator, who has nothing to do with the connection

        def proceed():
            attacker.process.stdin.write('go\n')
            attacker.process.stdin.flush()
        proceed()
        self.assertEqual(attacker.json(), {'taken': pid})
        self.let_systemd_go()
        self.assertNotEqual(operator.wait(), EXIT_OK)
        self.assertIn('exited during attestation', operator.error_text())
        self.assertIn('id:refund.service', self.selectors(pid), 'what systemd has answered to both')
        proceed()
        self.assertEqual(attacker.json()['messages'], 0)

    def test_without_the_bus_only_those_who_need_it_wait(self):
        self.start(entry('/plain', 'unix:uid:0'), entry('/refund', f'unix:uid:{UID}', 'systemd:id:refund.service'),
                   systemd={'bus_socket': '/run/no-such-bus'})
        self.assertEqual(self.fetch_in(uid=0), (EXIT_OK, ['spiffe://example.org/plain']))
        code, text = self.fetch_in('--unit=refund.service')
        self.assertEqual(code, EXIT_FAILED, text)
        self.assertIn('cannot answer now: could not find out systemd', text)
        self.assertIn('open /run/no-such-bus: No such file or directory', self.gap(1))

    def test_an_agent_in_a_pid_namespace_of_its_own_refuses_to_ask(self):
        machine = self.start()
        settings = json.loads(machine.path('/etc/lanyard/lanyard.yaml').read_text(encoding='utf-8'))
        settings |= {'data_dir': '/var/lib/inner', 'workload_socket': {'path': '/run/inner/workload.sock'},
                     'admin_socket': {'path': '/run/inner-admin/admin.sock'}}
        machine.write('/etc/lanyard/inner.yaml', json.dumps(settings))
        # The first process of the namespace is the shell's, and so is the pid that is asked for: systemd would take 1 for itself.
        machine.write('/opt/inner.sh', '''
lanyard agent --config /etc/lanyard/inner.yaml &
until lanyard health --admin-socket /run/inner-admin/admin.sock >/dev/null 2>&1; do sleep 0.1; done
lanyard attest 1 --admin-socket /run/inner-admin/admin.sock --output json
''')
        done = machine.must('timeout', '20', 'unshare', '--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '/opt/inner.sh')
        [[gap]] = [one['gaps'] for one in json.loads(done)['attestors'] if one['type'] == 'systemd']
        self.assertIn("run the node agent in the host's pid namespace", gap['why'])

    def test_a_bus_that_is_not_of_root_is_not_believed(self):
        machine = self.start(systemd={'bus_socket': '/run/user-bus/socket'})
        machine.must('install', '--directory', '--owner=agents', '/run/user-bus')
        listener = machine.start_lines('setpriv', f'--reuid={UID}', f'--regid={UID}', '--clear-groups', 'python3', '-c',
                                       'import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind("/run/user-bus/socket"); '
                                       's.listen(); print("listening", flush=True); sys.stdin.read()')
        listener.line()
        self.assertIn('/run/user-bus belongs to another user', self.gap(1))
        # Where root has put the socket of another user into a directory of its own, the one who listens gives it away.
        machine.must('chown', '-R', 'root', '/run/user-bus')
        self.assertIn(f'uid {UID} answers there, and only root', self.gap(1))

    def test_spire_agent_finds_the_same_unit_and_file(self):
        if not spire_binary('spire-agent'):
            self.skipTest('needs spire-agent: tests/peers.sh compiled')
        for name in ('spire-agent', 'spire-server'):
            self.machine.bind(spire_binary(name), spire_binary(name))
        spire = Spire(self, attestors='WorkloadAttestor "systemd" { plugin_data {} }', log_level='DEBUG', entering=self.machine.entering)
        self.machine.share(spire.dir)
        self.start(entry('/refund', 'systemd:id:refund.service', 'systemd:fragment_path:/etc/systemd/system/refund.service'))
        spire.start([spire_entry('/refund', 'systemd:id:refund.service', 'systemd:fragment_path:/etc/systemd/system/refund.service')])
        fetch = f'{spire_binary("spire-agent")} api fetch x509 -timeout 20s -socketPath {spire.socket}'
        services = {'refund.service': 'refund.service', 'agent@.service': 'agent@x.service', 'payout.service': 'payout.service'}
        for unit, started in services.items():
            alias = '[Install]\nAlias=other.service\n' if unit == 'payout.service' else ''
            self.service_of(unit, started, f"[Service]\nUser=agents\nExecStart=/bin/sh -c '{fetch}; exec sleep infinity'\n{alias}")
            theirs = eventually(lambda: self.spire_selectors(spire, started), 30, f'that spire-agent has attested {started}')
            ours = self.selectors(self.main_pid(started))
            # SPIRE has neither slice nor invocation_id; the others are the same, letter by letter.
            self.assertEqual(theirs, {text for text in ours if text.startswith(('id:', 'fragment_path:'))})
        self.assertEqual(self.earned(self.main_pid('refund.service')), ['spiffe://example.org/refund'])

        # A process in no unit: SPIRE's attestor fails, and says so in the log alone; to us it is an answer.
        self.machine.run(*fetch.split())
        self.assertIn('workload attestor \\"systemd\\" failed', spire.log.read_text(encoding='utf-8'))

    @staticmethod
    def spire_selectors(spire, unit):
        """What spire-agent's log says of the last process that it found in a unit."""
        found = None
        for line in spire.log.read_text(encoding='utf-8').splitlines():
            if 'PID attested to have selectors' in line:
                values = set(re.findall(r'type:\\"systemd\\" +value:\\"([^"]*)\\"', line))
                found = values if f'id:{unit}' in values else found
        return found

    def service_of(self, file, unit, text):
        self.machine.unit(file, text)
        self.machine.must('systemctl', 'start', unit)
