"""Who got what is on record before they have it: what the audit log of the real binary says about its callers."""

import calendar
import os
import signal
import time

from audit_view import AuditView
from node import EXIT_DENIED, EXIT_OK, UID, NodeTest, entry, needs_root, shared_file
from programs import HERE, PYTHON, stream_program
from records import issued, leaf_of, serial_of
from svid_stream import Stream, describe

ME = f'unix:uid:{os.geteuid()}'
FETCH = '/SpiffeWorkloadAPI/FetchX509SVID'
BUNDLES = '/SpiffeWorkloadAPI/FetchX509Bundles'
RAW = shared_file(HERE / 'raw_call.py')


def seconds_of(text):
    """2026-01-01T00:00:00.000000Z as seconds since 1970."""
    return calendar.timegm(time.strptime(text[:19], '%Y-%m-%dT%H:%M:%S'))


class GrantRecordTest(NodeTest):
    def running(self, entries, **options):
        node = self.started_node(entries, **options)
        return node, AuditView(node)

    def follow(self, node, **how):
        """A stream of X.509-SVIDs by a program whose pid is known, and its first message."""
        stream = node.start_lines([*stream_program(node), 'follow', node.socket], **how)
        return stream, stream.json()['svids']

    @needs_root('a program runs under another user')
    def test_a_fetch_is_on_record_with_who_it_was_and_exactly_what_it_got(self):
        node, log = self.running([entry('/one', f'unix:uid:{UID}', owner={'business': 'payments'}),
                                  entry('/two', f'unix:uid:{UID}', f'unix:path:{os.path.realpath(PYTHON)}')])
        stream, svids = self.follow(node, uid=UID)
        self.assertEqual([svid['id'] for svid in svids], ['spiffe://example.org/one', 'spiffe://example.org/two'])
        records = []
        for svid, owner in zip(svids, ('payments', None)):
            record = log.one(kind='fetch', decision='allow', spiffe_id=svid['id'])
            records.append(record)
            self.assertEqual((record['caller']['pid'], record['caller']['uid']), (stream.pid, UID))
            for selector in (f'unix:uid:{UID}', f'unix:gid:{UID}', f'unix:path:{os.path.realpath(PYTHON)}'):
                self.assertIn(selector, record['caller']['selectors'])
            self.assertEqual(int(record['serial'], 16), serial_of(leaf_of(svid)))
            self.assertEqual(seconds_of(record['not_after']), svid['not_after'])
            self.assertEqual(record.get('owner'), owner)
            self.assertEqual(record['resource'], FETCH)
            self.assertEqual(record['policy'], log.one(kind='registry')['policy'])
        self.assertEqual(records[0]['correlation_id'], records[1]['correlation_id'], 'one call')

    def test_the_end_of_a_stream_is_on_record_under_the_correlation_id_of_its_fetch(self):
        node, log = self.running([entry('/me', ME)])
        stream, _ = self.follow(node)
        other, _ = self.follow(node)
        fetched = {line['caller']['pid']: line['correlation_id'] for line in log.lines(kind='fetch')}
        self.assertEqual(len(set(fetched.values())), 2, 'two calls')
        self.assertEqual(log.lines(kind='release'), [])
        stream.stop()
        release = log.wait(kind='release', spiffe_id='spiffe://example.org/me')
        self.assertEqual((release['caller']['pid'], release['correlation_id']), (stream.pid, fetched[stream.pid]))
        other.stop()
        log.wait(kind='release', correlation_id=fetched[other.pid])

    def test_an_identity_that_the_registry_takes_away_is_released_on_record(self):
        node, log = self.running([entry('/me', ME), entry('/me-too', ME)])
        stream, _ = self.follow(node)
        before = log.one(kind='registry')['policy']['revision']
        node.register([entry('/me', ME)])
        stream.json()
        release = log.wait(kind='release', spiffe_id='spiffe://example.org/me-too')
        self.assertIn('registry', release['reason'])
        self.assertEqual(release['caller']['pid'], stream.pid)
        changed = log.wait(kind='registry', reason=lambda text: text.startswith('1 '))
        self.assertNotEqual(changed['policy']['revision'], before, 'another registry has another revision')
        # What is decided from now on names the new one.
        _, _ = self.follow(node)
        self.assertEqual(log.lines(kind='fetch')[-1]['policy'], changed['policy'])

    def test_a_bundle_that_was_handed_out_is_on_record(self):
        node, log = self.running([entry('/me', ME)])
        program = node.start_cli('fetch', 'bundle')
        self.assertEqual(program.wait(), EXIT_OK)
        record = log.one(kind='fetch', decision='allow', resource=BUNDLES)
        self.assertEqual(record['caller']['pid'], program.pid)
        self.assertNotIn('serial', record)

    def test_a_denial_is_on_record_with_the_reason_and_what_was_found(self):
        node, log = self.running([entry('/other', 'unix:uid:4242')])
        program = node.start_cli('fetch', 'x509')
        self.assertEqual(program.wait(), EXIT_DENIED)
        record = log.wait(kind='fetch', decision='deny')
        self.assertEqual((record['caller']['pid'], record['caller']['uid']), (program.pid, os.geteuid()))
        self.assertIn(ME, record['caller']['selectors'])
        self.assertIn(f'unix:path:{node.binary}', record['caller']['selectors'])
        self.assertIn('no registration entry matches', record['reason'])
        self.assertEqual(record['resource'], FETCH)
        self.assertEqual(record['policy'], log.one(kind='registry')['policy'])
        for absent in ('serial', 'spiffe_id', 'not_after'):
            self.assertNotIn(absent, record)
        self.assertEqual(log.lines(kind='issue'), [], 'nothing was signed for it')

    def test_a_denial_says_which_entries_were_nearly_earned_and_what_is_missing(self):
        node, log = self.running([entry('/planner', ME, 'systemd:id:planner.service'), entry('/other', 'unix:uid:4242')])
        self.assertEqual(node.cli('fetch', 'x509').returncode, EXIT_DENIED)
        self.assertEqual(log.wait(kind='fetch', decision='deny')['nearly'],
                         ['spiffe://example.org/planner: 1 of 2 selectors; missing systemd:id:planner.service'])
        self.assertEqual(node.cli('audit', 'verify', '--config', node.config).returncode, EXIT_OK)

    def test_two_hundred_equal_denials_in_a_row_make_one_record_and_a_count(self):
        node, log = self.running([entry('/other', 'unix:uid:4242')])
        done = node.run([PYTHON, RAW, 'fetches', node.socket, 200])
        self.assertIn('"fetched": 0', done.stdout, done.stderr)
        log.wait(kind='fetch', decision='deny')
        self.assertEqual(len(log.lines(kind='fetch', decision='deny')), 1)
        self.assertEqual(node.log_text().count('no registration entry matches'), 1, 'nor may it fill the log')
        node.stop()  # instead of the end of the minute
        first, count = log.lines(kind='fetch', decision='deny')
        self.assertNotIn('count', first)
        self.assertEqual((count['count'], count['caller']['uid']), (199, os.geteuid()))

    @needs_root('programs run under other users')
    def test_denials_of_another_user_are_not_hidden_among_those_of_a_noisy_one(self):
        node, log = self.running([entry('/other', 'unix:uid:4242')])
        node.run([PYTHON, RAW, 'fetches', node.socket, 50])
        node.refused(uid=UID)
        log.wait(kind='fetch', decision='deny', caller={'uid': UID})

    def test_issue_record_and_state_row_are_there_before_the_client_has_the_svid(self):
        node, log = self.running([entry(f'/me-{number}', ME) for number in range(20)])
        for round_ in range(3):
            stream = Stream(node.socket)
            messages = []
            while not messages:
                messages = stream.on_readable()
            # From here on the agent does nothing more.
            os.kill(node.process.pid, signal.SIGSTOP)
            try:
                lines = log.lines()
                rows = log.issued_now()
            finally:
                os.kill(node.process.pid, signal.SIGCONT)
            stream.close()
            on_record = issued(lines)
            for svid in describe(messages[0]):
                serial = serial_of(leaf_of(svid))
                self.assertEqual(on_record.get(serial), svid['id'])
                self.assertIn(serial, rows)
                fetched = [line for line in lines if line['kind'] == 'fetch' and int(line['serial'], 16) == serial]
                self.assertEqual(len(fetched), round_ + 1, 'who got it, each time')
        self.assertEqual(len(log.lines(kind='issue')), 20, 'the same SVIDs were handed out again')

    def test_a_renewal_is_issued_on_record_with_its_reason(self):
        node, log = self.running([entry('/me', ME, owner={'business': 'payments'})], x509_ttl='6s')
        stream, [first] = self.follow(node)
        [second] = stream.json(15)['svids']
        for svid, reason in ((first, 'new'), (second, 'renewal')):
            serial = serial_of(leaf_of(svid))
            record = log.one(kind='issue', serial=lambda text, serial=serial: int(text, 16) == serial)
            self.assertEqual((record['reason'], record['owner'], record['spiffe_id']), (reason, 'payments', svid['id']))
            self.assertEqual(seconds_of(record['not_after']), svid['not_after'])
            active = log.one(kind='ca', action='active', reason='the authority is active now')
            self.assertEqual(record['authority'], active['authority'])
            self.assertIn(serial, log.issued_now())
        self.assertEqual(len(log.lines(kind='fetch')), 1, 'the stream is one fetch')


class OperatorRecordTest(NodeTest):
    def running(self, **options):
        node = self.started_node([entry('/me', ME)], **options)
        return node, AuditView(node)

    def test_every_verb_of_an_operator_is_on_record_with_the_pid_that_called(self):
        node, log = self.running()
        verbs = {('health',): 'GetHealth', ('ca', 'show'): 'ShowCa', ('ca', 'rotate'): 'RotateCa',
                 ('registry', 'list'): 'ListEntries', ('registry', 'show', 'spiffe://example.org/me'): 'ShowEntry',
                 ('audit', 'tail'): 'TailAudit', ('log-level',): 'SetLogLevel', ('log-level', 'warn'): 'SetLogLevel'}
        for verb, action in verbs.items():
            program = node.start_cli(*verb)
            self.assertEqual(program.wait(), EXIT_OK, program.error_text())
            record = log.wait(kind='admin', caller={'pid': program.pid})
            self.assertEqual((record['action'], record['decision'], record['caller']['uid']),
                             (action, 'allow', os.geteuid()), verb)

    @needs_root('programs run under another user')
    def test_another_uid_at_the_operators_socket_is_on_record_as_a_denial(self):
        node, log = self.running()
        node.admin_socket.parent.chmod(0o755)
        node.admin_socket.chmod(0o666)
        program = node.start_cli('ca', 'rotate', uid=UID)
        self.assertNotEqual(program.wait(), EXIT_OK)
        record = log.wait(kind='admin', decision='deny')
        self.assertEqual((record['caller']['pid'], record['caller']['uid']), (program.pid, UID))
        self.assertIn(str(UID), record['reason'])
        self.assertEqual(log.lines(kind='admin', action='RotateCa'), [])

    @needs_root('a pid namespace is made')
    def test_root_of_another_pid_namespace_at_the_operators_socket_is_on_record_as_a_denial(self):
        node, log = self.running()
        node.run(['unshare', '--pid', '--fork', '--', node.binary, 'ca', 'show'])
        record = log.wait(kind='admin', decision='deny')
        self.assertIn('pid namespace', record['reason'])
        self.assertEqual(record['caller']['uid'], 0)

    @needs_root('namespaces are made')
    def test_two_different_refusals_of_one_uid_are_two_records(self):
        node, log = self.running()
        node.run(['unshare', '--pid', '--fork', '--', node.binary, 'ca', 'show'])
        node.run(['unshare', '--user', '--map-root-user', '--', node.binary, 'ca', 'show'])
        for what in ('pid namespace', 'user namespace'):
            log.wait(kind='admin', decision='deny', reason=lambda text, what=what: what in text)

    def test_rotating_the_authority_is_on_record_with_both_authorities(self):
        node, log = self.running()
        began, ended = 'the authority is active now', 'the authority is retired now'  # of roots, not of keys for tokens
        old = log.one(kind='ca', action='active', reason=began)['authority']
        self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        retired = log.wait(kind='ca', action='retired', reason=ended)
        active = log.wait(kind='ca', action='active', reason=began, authority=lambda authority: authority != old)
        self.assertEqual(retired['authority'], old)
        self.assertGreater(seconds_of(active['not_after']), time.time())
        for kind in ('jwt', 'wit'):
            log.wait(kind='ca', action='retired', reason=f'the authority for {kind} SVIDs is retired now')
        asked = log.one(kind='admin', action='RotateCa')
        self.assertLess(asked['seq'], min(retired['seq'], active['seq']), 'who asked is written first')

    def test_start_stop_and_reload_are_on_record(self):
        node, log = self.running()
        self.assertIn('example.org', log.one(kind='agent', action='start')['reason'])
        node.hang_up()
        self.assertIn('nothing changed', log.wait(kind='config', action='reload')['reason'])
        node.stop()
        stop = log.one(kind='agent', action='stop')
        after = [line['kind'] for line in log.lines() if line['seq'] > stop['seq']]
        self.assertEqual(after, ['checkpoint'], 'a clean end is signed')

    def test_a_registry_that_cannot_be_read_stays_on_record_as_what_was_in_force(self):
        node, log = self.running()
        before = log.wait(kind='registry')
        node.register('entries:\n  - spiffe_id: spiffe://example.org/me\n    selectors: [no-colon]\n')
        node.hang_up()
        log.wait(kind='config', action='reload')
        node.fetch()
        self.assertEqual(log.lines(kind='fetch')[-1]['policy'], before['policy'])

    def test_every_line_names_the_environment(self):
        node, log = self.running(config={'environment': 'staging'})
        node.fetch()
        node.cli('ca', 'rotate')
        node.stop()
        lines = log.check()
        self.assertGreater(len(lines), 10)
        self.assertEqual({line['environment'] for line in lines}, {'staging'})
