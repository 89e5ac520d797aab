"""Many callers at once, and many in a row. Figures here are bounds that only a leak or a collapse exceeds."""

import os
import pathlib
import subprocess
import sys

from node import EXIT_OK, NodeTest, entry, eventually, needs_root, shared_file
from process import sanitized

ME = f'unix:uid:{os.geteuid()}'
FETCHES = shared_file(pathlib.Path(__file__).parents[1] / 'support/python/raw_call.py')


class LoadTest(NodeTest):
    def test_two_hundred_clients_at_once_all_get_their_identity(self):
        node = self.started_node([entry('/me', ME)])
        # All answered, not how fast: two hundred processes have to start as well, and a sanitizer makes each start slow.
        clients = [subprocess.Popen([node.binary, 'fetch', 'x509', '--output', 'json', '--timeout', '100s'],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=node.client_environment())
                   for _ in range(50 if sanitized() else 200)]  # a hundred megabytes each with a sanitizer
        for client in clients:
            said, error = client.communicate(timeout=120)
            self.assertEqual(client.returncode, EXIT_OK, error)
            self.assertIn(b'spiffe://example.org/me', said)

    @needs_root('an agent that protects itself hides /proc/PID/fd from its own user')
    def test_memory_and_descriptors_do_not_grow_over_two_thousand_fetches(self):
        unlimited = {'connections_per_second': 100_000, 'calls_per_second': 100_000}
        node = self.started_node([entry('/me', ME)], config=[('limits', {'per_caller': unlimited})])
        self.fetch_many(node, 200)  # what is made once has been made
        memory, files = node.resident_bytes(), node.open_files()
        self.fetch_many(node, 2000)
        # 10 KB a fetch would be 20 MB; an idle stream takes about 26 KB while it lives. (A sanitizer keeps what was freed, and
        # finds leaks by itself.)
        if not sanitized():
            self.assertLess(node.resident_bytes() - memory, 10 << 20)
        eventually(lambda: node.open_files() <= files + 20, 30, 'that descriptors are closed')

    def test_two_hundred_streams_all_see_a_rotation(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='6s')
        watch = node.start_lines([sys.executable, FETCHES, 'streams', node.socket, 200, 2])
        self.assertEqual(watch.json(60), {'streams': 200, 'messages': 2})

    def fetch_many(self, node, count):
        done = node.run([sys.executable, FETCHES, 'fetches', node.socket, count], seconds=120)
        self.assertEqual(done.stdout.strip(), f'{{"fetched": {count}}}', done.stderr)
