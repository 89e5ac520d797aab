"""SIGHUP: what a changed configuration changes at once, what waits for a restart and says so, and what a broken one does."""

import json
import os
import pathlib
import shutil
import socket
import unittest

from audit_view import AuditView
from node import EXIT_OK, NodeTest, entry, eventually
from programs import HERE, PYTHON, stream_program
from records import serial_of, leaf_of
from web import endpoints_of

ME = f'unix:uid:{os.geteuid()}'
PERMISSION_DENIED, UNAVAILABLE = 7, 14


class ReloadTest(NodeTest):
    def running(self, entries=None, **settings):
        node = self.started_node(entries or [entry('/me', ME)], config=settings)
        return node, AuditView(node)

    def reload(self, node, view, x509_ttl='1h', **settings):
        """Writes the configuration anew, sends SIGHUP and waits until that is over; what is on record of it."""
        node.write_config(x509_ttl, settings)
        return self.hang_up(node, view)

    def hang_up(self, node, log):
        before = len(log.lines(kind='config'))
        node.hang_up()
        eventually(lambda: len(log.lines(kind='config')) > before, 10, 'the record of the reload')
        return log.lines(kind='config')[-1]['reason']

    def findings(self, node, component='configuration'):
        done = node.cli('health', '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, 'degraded is not failing')
        return [finding for finding in json.loads(done.stdout)['findings'] if finding['component'] == component]


class TakenOverTest(ReloadTest):
    def test_nothing_changed_changes_nothing(self):
        node, log = self.running()
        stream = node.start_lines([*stream_program(node), 'follow', node.socket])
        [before] = stream.json()['svids']
        self.assertEqual(self.hang_up(node, log), 'nothing changed; nothing waits for a restart')
        [after] = node.fetch()['svids']
        self.assertEqual(int(after['serial'], 16), serial_of(leaf_of(before)), 'the SVID that was there')
        self.assertFalse(stream.has_line(), 'the open stream has nothing to hear')
        self.assertIsNone(stream.process.poll())
        self.assertEqual(self.findings(node), [])

    def test_the_lifetime_and_the_key_type_of_the_next_svid(self):
        node, log = self.running()
        node.fetch()
        said = self.reload(node, log, '30m', svid={'x509_ttl': '30m', 'key_type': 'ec-p384'})
        self.assertIn('in force: svid.x509_ttl, svid.key_type;', said)
        node.register([entry('/me', ME), entry('/new', ME)])
        # Nobody asked for it before.
        eventually(lambda: len(node.fetch()['svids']) == 2, 10, 'the new entry')
        new = node.fetch()['svids'][1]
        self.assertEqual(new['key_type'], 'ec-p384')
        stream = node.start_lines([*stream_program(node), 'follow', node.socket])
        svid = stream.json()['svids'][1]
        self.assertLessEqual(svid['not_after'] - svid['not_before'], 35 * 60)
        self.assertGreater(svid['not_after'] - svid['not_before'], 25 * 60)

    def test_the_places_of_the_registry(self):
        node, log = self.running()
        second = node.dir / 'second.d'
        second.mkdir()
        (second / 'more.yaml').write_text(json.dumps({'entries': [entry('/second', ME)]}), encoding='utf-8')
        said = self.reload(node, log, registry={'paths': [str(second)]})
        self.assertIn('registry.paths', said)
        eventually(lambda: node.fetch_ids() == ['spiffe://example.org/second'], 10, 'the other registry')
        # It is watched, and the old one is not.
        (second / 'more.yaml').write_text(json.dumps({'entries': [entry('/changed', ME)]}), encoding='utf-8')
        eventually(lambda: node.fetch_ids() == ['spiffe://example.org/changed'], 10, 'a change of it')
        node.register('entries: [{]')
        node.fetch()
        self.assertEqual(self.findings(node, 'registry'), [])

    def test_a_place_that_is_not_there_keeps_the_entries_and_is_named(self):
        node, log = self.running()
        self.reload(node, log, registry={'paths': ['/nonexistent/registry.d']})
        found = ' '.join(finding['text'] for finding in eventually(lambda: self.findings(node, 'registry'), 10, 'a finding'))
        self.assertIn('/nonexistent/registry.d', found)
        self.assertIn(f'{node.registry}: not configured any more, but in force', found)
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
        self.reload(node, log)
        eventually(lambda: not self.findings(node, 'registry'), 10, 'no finding')

    @unittest.skipUnless(PYTHON.startswith('/usr/'), 'needs an interpreter that runs from anywhere')
    def test_the_time_that_attestation_may_take(self):
        # Each program has to be read wholly to know its hash: much more than 10 ms.
        node, log = self.running([entry('/hashed', ME, f'unix:sha256:{"0" * 64}')])
        statuses = []
        for name, timeout in (('first', None), ('second', '10ms')):
            if timeout:
                self.assertIn('limits.attestation_timeout', self.reload(node, log, limits={'attestation_timeout': timeout}))
            program = node.dir / name
            shutil.copy(os.path.realpath(PYTHON), program)
            os.truncate(program, 200 << 20)
            done = node.run([program, '-B', HERE / 'raw_call.py', 'call', node.socket])
            statuses.append(json.loads(done.stdout)['status'])
        self.assertEqual(statuses, [PERMISSION_DENIED, UNAVAILABLE], 'what is not found out in time is not known')

    def test_how_many_connections_a_user_may_have(self):
        node, log = self.running()

        def kept(count):
            """How many of so many connections at once stay open."""
            connections = []
            try:
                for _ in range(count):
                    connections.append(socket.socket(socket.AF_UNIX))
                    connections[-1].settimeout(0.2)
                    connections[-1].connect(str(node.socket))
                closed = 0
                for connection in connections:
                    try:
                        closed += not connection.recv(1)
                    except TimeoutError:
                        pass
                    except OSError:
                        closed += 1
                return count - closed
            finally:
                for connection in connections:
                    connection.close()
        self.assertEqual(kept(8), 8)
        self.assertIn('limits.per_caller.connections', self.reload(node, log, limits={'per_caller': {'connections': 3}}))
        eventually(lambda: kept(8) == 3, 10, 'the new limit')  # the old connections have to be gone
        [finding] = self.findings(node, 'listener')
        self.assertIn('limits.per_caller.connections', finding['remedy'])
        self.reload(node, log)
        eventually(lambda: kept(8) == 8, 10, 'the old limit')

    def test_the_log_level_and_back_from_what_an_operator_set(self):
        node, log = self.running()
        self.assertEqual(node.cli('log-level').stdout, 'debug\n')
        self.assertIn('log.level', self.reload(node, log, log={'level': 'error'}))
        self.assertEqual(node.cli('log-level').stdout, 'error\n')
        said = len(node.log_text())
        node.cli('fetch', 'x509', '--spiffe-id', 'spiffe://example.org/other')
        node.cli('ca', 'rotate')
        self.assertEqual(node.log_text()[said:], '', 'no error, no line')
        self.assertIn('debug (was error)', node.cli('log-level', 'debug').stdout)
        node.cli('ca', 'rotate')
        self.assertRegex(node.log_text()[said:], r' info .*\n')
        said = self.hang_up(node, log)
        self.assertIn('nothing changed', said)
        self.assertEqual(node.cli('log-level').stdout, 'error\n', 'what is in the file is in force again')

    def test_the_environment_in_new_records(self):
        node, log = self.running()
        self.assertIn('environment', self.reload(node, log, environment='production'))
        node.fetch()
        self.assertEqual({line['environment'] for line in log.lines(kind='fetch')}, {'production'})
        self.assertEqual({line['environment'] for line in log.lines(kind='agent')}, {'development'}, 'old ones stay')
        self.assertEqual(json.loads(node.cli('health', '--output', 'json').stdout)['environment'], 'production')
        node.stop()
        log.check()

    def test_rotation_retention_and_checkpoints_of_the_audit_log(self):
        node, log = self.running()
        copies = pathlib.Path(f'/tmp/lanyard-copies-{os.getpid()}')
        self.addCleanup(lambda: copies.unlink(missing_ok=True))
        said = self.reload(node, log, audit={'rotate_at': '64KiB', 'keep_files': 1, 'checkpoint_interval': '1s',
                                             'checkpoints_to': str(copies)})
        for key in ('audit.rotate_at', 'audit.keep_files', 'audit.checkpoint_interval', 'audit.checkpoints_to'):
            self.assertIn(key, said)
        checkpoint = log.wait(kind='checkpoint')
        self.assertEqual(json.loads(eventually(lambda: copies.exists() and copies.read_bytes(), 5, 'a copy').split(b'\n')[0]),
                         log.lines(kind='checkpoint')[0])
        self.assertEqual(checkpoint['kind'], 'checkpoint')

        def removed():
            node.run([PYTHON, HERE / 'raw_call.py', 'fetches', node.socket, 60])
            return log.lines(kind='audit', action='remove')
        eventually(removed, 15, 'a removal')
        node.stop()
        self.assertEqual(len(log.files()), 2)
        done = node.cli('audit', 'verify', *log.files(), '--key', log.key, '--checkpoints', copies)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)

    def test_the_endpoints_move_to_another_port_and_off(self):
        first, second = ({'metrics': f'{ip}:0', 'health': ''} for ip in ('127.0.0.1', '127.0.0.3'))
        node, log = self.running(endpoints={**first, 'health': '127.0.0.2:0'})
        before = endpoints_of(node)
        self.assertIn('endpoints.metrics, endpoints.health', self.reload(node, log, endpoints={**second, 'health': '127.0.0.4:0'}))
        after = endpoints_of(node, 2)
        for name, path in (('metrics', '/metrics'), ('health', '/ready')):
            self.assertEqual(after[name].ask(path)[0], 200, name)
            with self.assertRaises(OSError):
                before[name].ask(path)
        self.reload(node, log)
        for name in after:
            with self.assertRaises(OSError):
                after[name].ask('/metrics')

    def test_a_port_that_is_taken_is_named_in_health_until_it_is_free(self):
        node, log = self.running()
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            address = f'127.0.0.1:{taken.getsockname()[1]}'
            self.reload(node, log, endpoints={'metrics': address, 'health': ''})
            [finding] = self.findings(node)
            self.assertIn('endpoints.metrics', finding['text'])
            self.assertIn(address, finding['text'])
            node.fetch()
            taken.close()
        # The operator was told to repair and reload: the file is the same, the port is free now.
        self.hang_up(node, log)
        self.assertEqual(self.findings(node), [])


class WaitsForRestartTest(ReloadTest):
    def test_what_takes_a_restart_is_named_everywhere_until_it_is_taken_back(self):
        node, log = self.running()
        said = self.reload(node, log, '30m', data_dir=str(node.dir / 'other'), log={'level': 'debug', 'format': 'json'},
                           workload_socket={'path': str(node.dir / 'run/other.sock')},
                           identity_source={'embedded_ca': {'ca_ttl': '48h'}})
        waiting = 'data_dir, workload_socket, identity_source.embedded_ca, audit.path, log.format'
        self.assertEqual(said, f'in force: svid.x509_ttl; takes a restart: {waiting}')
        self.assertIn(said, node.log_text())
        [finding] = self.findings(node)
        self.assertEqual((finding['severity'], finding['remedy']), ('degraded', 'restart the agent'))
        self.assertIn(waiting, finding['text'])
        node.fetch()
        self.assertFalse((node.dir / 'other').exists())
        self.assertNotIn('{"', node.log_text().splitlines()[-1])
        self.assertEqual(self.reload(node, log), 'in force: svid.x509_ttl; nothing waits for a restart')
        self.assertEqual(self.findings(node), [])

    def test_another_trust_domain_waits_too(self):
        node, log = self.running()
        self.assertIn('takes a restart: trust_domain', self.reload(node, log, trust_domain='other.example'))
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
        self.assertEqual(len(self.findings(node)), 1)


class BrokenFileTest(ReloadTest):
    def test_a_broken_file_keeps_everything_and_every_mistake_is_named_with_its_line(self):
        node, log = self.running()
        good = node.config.read_text(encoding='utf-8')
        before = node.fetch()['svids'][0]['serial']
        node.config.write_text('trust_domain: example.org\nenvironment: production\nsvid: {x509_ttl: 1x}\nlog: {level: loud}\n',
                               encoding='utf-8')
        said = self.hang_up(node, log)
        self.assertIn('kept as it was', said)
        for line in (3, 4):
            place = f'{node.config}:{line}:'
            self.assertRegex(node.log_text(), rf' error configuration kept as it was: {place}\d+: ')
            self.assertIn(place, said, 'the record says why')
            self.assertTrue(any(place in finding['text'] for finding in self.findings(node)), f'{place} in health')
        self.assertEqual({line['environment'] for line in log.lines(kind='config')}, {'development'}, 'not half of it either')
        self.assertEqual(node.cli('log-level').stdout, 'debug\n')
        self.assertEqual(node.fetch()['svids'][0]['serial'], before)
        node.config.write_text(good, encoding='utf-8')
        self.assertEqual(self.hang_up(node, log), 'nothing changed; nothing waits for a restart')
        self.assertEqual(self.findings(node), [])

    def test_a_file_that_others_may_write_is_not_believed(self):
        node, log = self.running()
        node.write_config('30m', {'svid': {'x509_ttl': '30m'}})
        node.config.chmod(0o666)
        self.assertRegex(self.hang_up(node, log), f'kept as it was: .*{node.config}.*666')
        node.config.chmod(0o644)
        self.assertIn('in force: svid.x509_ttl', self.hang_up(node, log))
        node.stop()
        node.config.chmod(0o666)
        node.launch()
        self.assertNotEqual(node.ended(), 0, 'nor at start')
        self.assertIn(str(node.config), node.log_text())

    def test_a_file_that_is_gone_keeps_everything(self):
        node, log = self.running()
        node.config.rename(node.dir / 'away')
        self.assertIn(str(node.config), self.hang_up(node, log))
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])

    def test_what_waits_for_a_restart_is_still_named_after_a_broken_file(self):
        node, log = self.running()
        self.reload(node, log, trust_domain='other.example')
        node.config.write_text('trust_domain: [', encoding='utf-8')
        self.hang_up(node, log)
        self.assertTrue(any('trust_domain' in finding['text'] and finding['remedy'] == 'restart the agent'
                            for finding in self.findings(node)))

    def test_reloads_in_a_row_end_with_the_last_file(self):
        node, log = self.running()
        for number in range(20):
            node.write_config(f'{20 + number}m')
            node.hang_up()
        eventually(lambda: 'svid.x509_ttl' in node.log_text(), 10, 'a reload')
        self.hang_up(node, log)
        stream = node.start_lines([*stream_program(node), 'follow', node.socket])
        [svid] = stream.json()['svids']
        self.assertAlmostEqual(svid['not_after'] - svid['not_before'], 39 * 60, delta=90)
        self.assertLess(len(log.lines(kind='config')), 22)
        self.assertIsNone(node.process.poll())
