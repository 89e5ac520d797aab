"""Starting, stopping, reloading and failing: what an operator sees of the real binary."""

import os
import pathlib
import signal
import socket
import sys

from cgroups import Cgroups
from node import EXIT_FAILED, EXIT_OK, UID, NodeTest, entry, eventually, needs_root
from process import scaled

ME = f'unix:uid:{os.geteuid()}'
HOLD_FORTY = """
import socket, sys
held = [socket.socket(socket.AF_UNIX) for _ in range(40)]
for one in held:
    one.connect(sys.argv[1])
print('{"connected": 40}', flush=True)
sys.stdin.readline()
"""


class LifecycleTest(NodeTest):
    def test_sigterm_ends_the_agent_within_five_seconds_while_streams_are_open(self):
        node = self.started_node([entry('/me', ME)])
        watch = node.start_cli('watch', 'x509', '--output', 'json')
        watch.json()
        self.assertEqual(node.stop(seconds=5), 0)
        self.assertFalse(node.socket.exists(), 'the socket stays behind')
        self.assertFalse(node.admin_socket.exists(), 'the admin socket stays behind')

    def test_a_restart_keeps_the_authority(self):
        node = self.started_node([entry('/me', ME)])
        before = node.cli('fetch', 'bundle').stdout
        self.assertTrue(before)
        node.stop()
        node.start()
        self.assertEqual(node.cli('fetch', 'bundle').stdout, before)

    def test_after_being_killed_it_starts_again_with_the_same_authority(self):
        node = self.started_node([entry('/me', ME)])
        before = node.cli('fetch', 'bundle').stdout
        node.kill()
        self.assertTrue(node.socket.exists(), 'the test needs a socket that was left behind')
        node.start()
        self.assertEqual(node.cli('fetch', 'bundle').stdout, before)

    def test_private_keys_of_the_authority_are_readable_by_their_owner_only(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(node.data.stat().st_mode & 0o077, 0)
        for path in node.data.rglob('*'):
            if path.is_file() and 'PRIVATE KEY' in path.read_text(encoding='latin-1'):
                self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_a_broken_registry_on_reload_keeps_the_last_good_one_and_health_names_file_and_line(self):
        node = self.started_node([entry('/me', ME)])
        node.register('entries:\n  - spiffe_id: spiffe://example.org/me\n    selectors: [no-colon]\n')
        node.hang_up()
        place = f'{node.registry}/entries.yaml:3:'
        eventually(lambda: place in node.cli('health').stdout, 10, f'{place} in health')
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
        node.register([entry('/me-again', ME)])
        eventually(lambda: node.fetch_ids() == ['spiffe://example.org/me-again'], 10, 'the repaired registry')
        eventually(lambda: place not in node.cli('health').stdout, 10, 'health without the old error')

    def test_a_registry_directory_that_vanishes_keeps_the_last_good_state(self):
        node = self.started_node([entry('/me', ME)])
        node.registry.rename(node.dir / 'elsewhere')
        node.hang_up()
        eventually(lambda: str(node.registry) in node.cli('health').stdout, 10, 'the missing directory in health')
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])

    def test_a_broken_registry_at_the_start_is_fatal_and_named(self):
        node = self.node('entries:\n  - spiffe_id: spiffe://example.org/me\n    selectors: []\n').launch()
        self.assertEqual(node.ended(), EXIT_FAILED)
        self.assertRegex(node.log_text(), r'entries\.yaml:[23]:\d+')
        self.assertFalse(node.socket.exists())

    @needs_root('a file is given to another user')
    def test_a_registry_file_that_others_may_write_is_refused(self):
        node = self.node([entry('/me', ME)])
        (node.registry / 'entries.yaml').chmod(0o666)
        self.assertEqual(node.launch().ended(), EXIT_FAILED)
        self.assertIn(f'{node.registry}/entries.yaml', node.log_text())
        (node.registry / 'entries.yaml').chmod(0o644)
        os.chown(node.registry / 'entries.yaml', UID, UID)
        self.assertEqual(node.launch().ended(), EXIT_FAILED)

    def test_config_check_reports_every_error_with_file_line_and_column(self):
        node = self.node([])
        node.config.write_text('trust_domain: Example.org\nsvid: {x509_ttl: 1x}\nno_such_key: 1\n', encoding='utf-8')
        done = node.cli('config', 'check', node.config)
        self.assertEqual(done.returncode, EXIT_FAILED)
        said = done.stdout + done.stderr
        for line in (1, 2, 3):
            self.assertRegex(said, rf'(?m)^.*{node.config}:{line}:\d+: ')

    def test_config_check_passes_what_the_agent_then_accepts(self):
        node = self.node([entry('/me', ME)])
        done = node.cli('config', 'check', node.config)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        node.start()

    def test_config_check_reports_errors_of_the_registry_too(self):
        node = self.node('entries:\n  - spiffe_id: spiffe://other.example/me\n    selectors: ["unix:uid:1"]\n')
        done = node.cli('config', 'check', node.config)
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertRegex(done.stdout + done.stderr, r'entries\.yaml:2:\d+: ')

    def test_the_example_configuration_is_accepted(self):
        node = self.node([entry('/me', ME)])
        text = node.cli('config', 'example').stdout
        for path, ours in (('/var/lib/lanyard', node.data), ('/run/lanyard/workload.sock', node.socket),
                           ('/run/lanyard-admin/admin.sock', node.admin_socket), ('/etc/lanyard/registry.d', node.registry)):
            self.assertIn(path, text)
            text = text.replace(path, str(ours))
        node.config.write_text(text, encoding='utf-8')
        done = node.cli('config', 'check', node.config)
        self.assertEqual((done.returncode, done.stderr), (EXIT_OK, ''), done.stdout)

    def test_ca_init_is_refused_while_an_agent_runs_on_the_same_data(self):
        node = self.started_node([entry('/me', ME)])
        done = node.cli('ca', 'init', '--config', node.config)
        self.assertEqual(done.returncode, EXIT_FAILED, done.stdout)
        self.assertIn(str(node.data), done.stderr)
        node.fetch()

    def test_ca_init_makes_the_authority_that_the_agent_then_uses(self):
        node = self.node([entry('/me', ME)])
        done = node.cli('ca', 'init', '--config', node.config)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        node.start()
        node.fetch()

    def test_a_second_agent_does_not_take_the_socket_of_a_living_one(self):
        first = self.started_node([entry('/me', ME)])
        second = self.node([entry('/intruder', ME)])
        second.socket = first.socket
        second.write_config()
        self.assertEqual(second.launch().ended(), EXIT_FAILED)
        self.assertIn(str(first.socket), second.log_text())
        self.assertIn(str(first.process.pid), second.log_text())
        self.assertEqual(first.fetch_ids(), ['spiffe://example.org/me'])

    def test_a_second_agent_on_the_same_data_directory_is_refused(self):
        first = self.started_node([entry('/me', ME)])
        second = self.node([entry('/me', ME)])
        second.data = first.data
        second.write_config()
        self.assertEqual(second.launch().ended(), EXIT_FAILED)
        self.assertIn(str(first.data), second.log_text())

    def test_a_file_in_the_place_of_the_socket_is_not_removed(self):
        node = self.node([entry('/me', ME)])
        node.socket.parent.mkdir()
        node.socket.write_text('precious', encoding='utf-8')
        self.assertEqual(node.launch().ended(), EXIT_FAILED)
        self.assertEqual(node.socket.read_text(encoding='utf-8'), 'precious')
        self.assertIn(str(node.socket), node.log_text())

    def test_readiness_is_told_to_systemd(self):
        node = self.node([entry('/me', ME)])
        # A directory of its own: the path has to be short and reachable.
        address = node.dir / 'notify.sock'
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(str(address))
            notify.settimeout(scaled(20))
            node.environment = {'NOTIFY_SOCKET': str(address)}
            node.launch()
            self.assertIn(b'READY=1', notify.recv(4096))
            node.fetch()

    def test_sighup_does_not_end_the_agent(self):
        node = self.started_node([entry('/me', ME)])
        for _ in range(3):
            node.hang_up()
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
        self.assertIsNone(node.process.poll())

    def test_sigint_ends_the_agent_as_sigterm_does(self):
        node = self.started_node([entry('/me', ME)])
        node.process.send_signal(signal.SIGINT)
        self.assertEqual(node.ended(), 0)


class AdminSocketTest(NodeTest):
    @needs_root('programs run under other users')
    def test_another_uid_is_refused_even_where_the_file_modes_let_it_in(self):
        node = self.started_node([entry('/me', ME)])
        closed = node.cli('health', uid=UID)
        self.assertNotEqual(closed.returncode, EXIT_OK)
        node.admin_socket.parent.chmod(0o755)
        node.admin_socket.chmod(0o666)
        for verb in [('health',), ('registry', 'list'), ('ca', 'show'), ('ca', 'rotate')]:
            done = node.cli(*verb, uid=UID)
            self.assertNotEqual(done.returncode, EXIT_OK, verb)
            self.assertEqual(done.stdout, '', verb)
        self.assertIn(str(UID), done.stderr)

    @needs_root('a root of another user namespace is needed')
    def test_root_of_another_user_namespace_is_refused(self):
        node = self.started_node([entry('/me', ME)])
        done = node.run(['unshare', '--user', '--map-root-user', '--', node.binary, 'health'])
        self.assertNotEqual(done.returncode, EXIT_OK)
        self.assertEqual(done.stdout, '')
        self.assertIn('user namespace', done.stderr)

    @needs_root('a pid namespace is made')
    def test_root_of_another_pid_namespace_is_refused_unless_it_is_allowed(self):
        node = self.started_node([entry('/me', ME)])
        inside = ['unshare', '--pid', '--fork', '--', node.binary, 'health']
        done = node.run(inside)
        self.assertNotEqual(done.returncode, EXIT_OK)
        self.assertIn('pid namespace', done.stderr)
        node.stop()
        node.write_config(more={'admin_socket': {'path': str(node.admin_socket), 'other_pid_namespaces': True}})
        node.start()
        self.assertEqual(node.run(inside).returncode, EXIT_OK)

    @needs_root('cgroups are made')
    def test_one_caller_that_is_not_admitted_leaves_operators_a_place(self):
        node = self.started_node([entry('/me', ME)])
        container = Cgroups(self).make('container')
        holder = node.start_lines(['unshare', '--pid', '--fork', '--kill-child', '--', sys.executable, '-c', HOLD_FORTY,
                                   node.admin_socket], cgroup=container)
        self.assertEqual(holder.json()['connected'], 40)
        self.assertEqual(node.cli('health').returncode, EXIT_OK)
        self.assertIn('limit of 24 connections open at once', node.log_text())

    def test_its_directory_is_closed_to_others(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(node.admin_socket.parent.stat().st_mode & 0o777, 0o700)
        self.assertEqual(node.admin_socket.stat().st_mode & 0o777, 0o600)

    def test_a_place_under_the_workload_sockets_directory_is_refused(self):
        node = self.node([entry('/me', ME)])
        node.admin_socket = node.socket.parent / 'admin/admin.sock'
        node.write_config()
        done = node.cli('config', 'check', node.config)
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertIn(str(pathlib.Path(node.socket).parent), done.stdout + done.stderr)
