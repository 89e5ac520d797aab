"""What an open stream sees: rotation, changes of the registry, a new authority, and the end of its reason to exist."""

import os
import pathlib
import signal
import sys

from node import EXIT_OK, NodeTest, entry, eventually, shared_file

ME = f'unix:uid:{os.geteuid()}'
RAW = shared_file(pathlib.Path(__file__).parents[1] / 'support/python/raw_call.py')
PERMISSION_DENIED = 7


def serials(update):
    return [svid['serial'] for svid in update['svids']]


def ids(update):
    return [svid['spiffe_id'] for svid in update['svids']]


class StreamTest(NodeTest):
    def watch(self, node, what='x509'):
        return node.start_cli('watch', what, '--output', 'json')

    def test_the_identity_rotates_before_it_expires_three_times_in_a_row(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='6s')
        watch = self.watch(node)
        seen = [serials(watch.json(15))[0] for _ in range(4)]
        self.assertEqual(len(set(seen)), 4, seen)

    def test_a_new_entry_reaches_an_open_stream(self):
        node = self.started_node([entry('/me', ME)])
        watch = self.watch(node)
        first = watch.json()
        self.assertEqual(ids(first), ['spiffe://example.org/me'])
        node.register([entry('/me', ME), entry('/me-too', ME)])
        second = watch.json()
        self.assertEqual(ids(second), ['spiffe://example.org/me', 'spiffe://example.org/me-too'])
        self.assertEqual(serials(first)[0], serials(second)[0], 'an entry that did not change keeps its SVID')

    def test_an_entry_that_goes_takes_its_identity_off_the_stream(self):
        node = self.started_node([entry('/me', ME), entry('/me-too', ME)])
        watch = self.watch(node)
        self.assertEqual(len(ids(watch.json())), 2)
        node.register([entry('/me', ME)])
        self.assertEqual(ids(watch.json()), ['spiffe://example.org/me'])

    def test_the_last_entry_that_goes_ends_the_stream_with_permission_denied(self):
        node = self.started_node([entry('/me', ME)])
        stream = node.start_lines([sys.executable, RAW, 'follow', node.socket])
        self.assertEqual(stream.json(), {'message': 1})
        node.register([entry('/other', 'unix:uid:4242')])
        self.assertEqual(stream.json(), {'status': PERMISSION_DENIED, 'closed': False})
        node.refused()

    def test_watch_says_that_its_identity_is_gone_and_notices_when_it_comes_back(self):
        node = self.started_node([entry('/me', ME)])
        watch = self.watch(node)
        watch.json()
        node.register([entry('/other', 'unix:uid:4242')])
        eventually(lambda: 'no registration entry' in watch.error_text(), 10, 'the reason on standard error')
        node.register([entry('/me', ME)])
        self.assertEqual(ids(watch.json(30)), ['spiffe://example.org/me'])

    def test_another_file_of_the_registry_is_noticed(self):
        node = self.started_node([entry('/me', ME)])
        watch = self.watch(node)
        watch.json()
        node.register([entry('/from-second-file', ME)], name='second.yaml')
        self.assertEqual(ids(watch.json()), ['spiffe://example.org/me', 'spiffe://example.org/from-second-file'])

    def test_rotating_the_authority_pushes_the_new_bundle(self):
        node = self.started_node([entry('/me', ME)])
        watch = self.watch(node, 'bundle')
        first = watch.line()
        done = node.cli('ca', 'rotate')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        self.assertNotEqual(watch.line(), first)

    def test_after_rotating_the_authority_svids_verify_against_the_bundle_that_comes_with_them(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='6s')
        watch = self.watch(node)
        before = watch.json()
        node.cli('ca', 'rotate')
        # The command line verifies each answer against its own bundle, and ends where it does not hold.
        after = [watch.json(15) for _ in range(3)]
        self.assertNotEqual(serials(before), serials(after[-1]))

    def test_a_slow_reader_gets_the_newest_state_and_no_queue(self):
        many = [entry(f'/me-{number}', ME) for number in range(60)]  # one message fills the flow control window
        node = self.started_node(many)
        watch = self.watch(node)
        watch.json()
        os.kill(watch.pid, signal.SIGSTOP)
        for number in range(20):
            node.register([*many, entry(f'/new-{number}', ME)])
            listed = f'spiffe://example.org/new-{number}'
            eventually(lambda listed=listed: listed in node.cli('registry', 'list').stdout, 10, f'{listed} in the registry')
        os.kill(watch.pid, signal.SIGCONT)
        updates = 1
        while 'spiffe://example.org/new-19' not in ids(watch.json()):
            updates += 1
        self.assertLess(updates, 10)
