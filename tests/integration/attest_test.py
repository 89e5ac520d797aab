"""`lanyard attest PID`: why a process gets an identity, or gets none."""

import json
import os
import subprocess

from node import EXIT_DENIED, EXIT_FAILED, EXIT_OK, EXIT_USAGE, NodeTest, UID, entry, needs_root
from process import drop_to

ME = os.geteuid()


class AttestTest(NodeTest):
    def sleeper(self, uid=None):
        """A process that does nothing until the test ends."""
        process = subprocess.Popen(['/bin/sleep', '600'], preexec_fn=drop_to(uid), cwd='/')
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def attest(self, node, pid):
        done = node.cli('attest', pid, '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_it_says_what_was_found_what_that_earns_and_what_is_missing(self):
        node = self.started_node([
            entry('/sleeper', f'unix:uid:{ME}', 'unix:path:/usr/bin/sleep'),
            entry('/planner', f'unix:uid:{ME}', 'unix:path:/usr/bin/sleep', 'systemd:id:planner.service'),
            entry('/other', 'unix:uid:4242')])
        seen = self.attest(node, self.sleeper().pid)
        self.assertEqual(seen['uid'], ME)
        self.assertEqual([one['type'] for one in seen['attestors']], ['unix', 'process'])
        self.assertTrue(all(one['micros'] > 0 and one['selectors'] > 0 for one in seen['attestors']), seen)
        self.assertIn('unix:path:/usr/bin/sleep', seen['selectors'])
        self.assertEqual([(one['spiffe_id'], one['verdict'], one.get('missing')) for one in seen['entries']],
                         [('spiffe://example.org/sleeper', 'earned', None),
                          ('spiffe://example.org/planner', 'not earned', ['systemd:id:planner.service'])])

    def test_its_text_names_the_missing_selector_and_where_the_entry_is_written(self):
        node = self.started_node([entry('/planner', f'unix:uid:{ME}', 'systemd:id:planner.service')])
        done = node.cli('attest', self.sleeper().pid)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        self.assertIn(f'not earned: spiffe://example.org/planner ({node.registry}/entries.yaml:', done.stdout)
        self.assertIn('1 of 2 selectors; missing systemd:id:planner.service\n', done.stdout)

    @needs_root('it starts a process of another user')
    def test_it_attests_processes_of_other_users_and_finds_what_they_get_when_they_ask(self):
        node = self.started_node([entry('/theirs', f'unix:uid:{UID}')])
        seen = self.attest(node, self.sleeper(UID).pid)
        self.assertEqual((seen['uid'], seen['entries'][0]['verdict']), (UID, 'earned'))
        self.assertEqual(node.fetch_ids(uid=UID), ['spiffe://example.org/theirs'])

    def test_a_process_that_is_not_there_and_what_is_no_number_are_refused(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}')])
        gone = subprocess.Popen(['/bin/true'])
        gone.wait()
        done = node.cli('attest', gone.pid)
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertIn(f'attest pid {gone.pid}', done.stderr)
        self.assertEqual(node.cli('attest', 'init').returncode, EXIT_USAGE)
        self.assertEqual(node.cli('attest', '0').returncode, EXIT_USAGE)

    @needs_root('it asks as another user')
    def test_only_operators_may_ask(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}')])
        self.assertEqual(node.cli('attest', self.sleeper().pid, uid=UID).returncode, EXIT_DENIED)
