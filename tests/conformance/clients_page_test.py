"""The programs in Go and Python that docs/CLIENTS.md shows: taken from the page, built and run as it says.

Each is a client and a server with one identity. (Those in C++ are run by tests/integration/client_package_test.py.)
"""

import os
import pathlib
import re
import shutil

from client_package import page_files, run
from node import EXIT_OK, ROOT, NodeTest, entry
from peers import PEERS

ME, ANOTHER = 'spiffe://example.org/me', 'spiffe://example.org/another'
QUESTION = 'where is order 4711?'


class PageTest(NodeTest):
    made = None  # the stamp that tests/peers.sh leaves

    def commands(self):
        """What the client and the server are started by; files go to self.test_node.dir."""
        raise NotImplementedError

    def setUp(self):
        if not (PEERS / self.made).exists():
            self.skipTest('what the programs need is not there; tests/peers.sh makes it')
        self.test_node = self.started_node([entry('/me', f'unix:uid:{os.geteuid()}')])
        self.client, self.server = self.commands()

    def serving(self, lets_in):
        """A running server, and its address."""
        server = self.test_node.start_lines([*self.server, '127.0.0.1:0', lets_in])
        port = re.fullmatch(r'listening on port (\d+)\n', server.line(30))[1]
        return server, f'127.0.0.1:{port}'

    def ask(self, address, expects):
        return self.test_node.run([*self.client, address, expects, QUESTION])

    def client_and_server_prove_who_they_are(self):
        server, address = self.serving(ME)
        done = self.ask(address, ME)
        self.assertEqual((done.returncode, done.stdout), (EXIT_OK, f'I heard: {QUESTION}\n'), done.stderr)
        self.assertEqual(server.line(), 'answered\n')

    def each_refuses_whom_it_does_not_expect(self):
        server, address = self.serving(ANOTHER)
        done = self.ask(address, ME)
        self.assertNotIn(QUESTION, done.stdout)
        self.assertIn(ME, server.line())
        server, address = self.serving(ME)
        done = self.ask(address, ANOTHER)
        self.assertNotEqual(done.returncode, EXIT_OK)
        self.assertEqual(done.stdout, '')
        self.assertIn(ME, done.stderr)
        self.assertNotEqual(server.line(), 'answered\n')


class GoPageTest(PageTest):
    made = 'go-spiffe-peer.stamp'

    def commands(self):
        # tests/peers.sh fetches one where that on PATH is too old.
        fetched = PEERS / 'go/bin/go'
        go = fetched if fetched.exists() else 'go'
        for name in ('go.mod', 'go.sum'):
            shutil.copy2(ROOT / 'tests/conformance/go' / name, self.test_node.dir)
        for name, text in page_files('.go').items():
            package = self.test_node.dir / pathlib.Path(name).stem
            package.mkdir()
            (package / name).write_text(text, encoding='utf-8')
        # Everything is in the caches since tests/peers.sh has built its own client.
        run(go, 'build', '-C', self.test_node.dir, '-trimpath', '-buildvcs=false', '-o', f'{self.test_node.dir}/bin/', './...',
            GOFLAGS='-mod=readonly', GOTOOLCHAIN='local')
        return [[self.test_node.dir / 'bin/client'], [self.test_node.dir / 'bin/server']]

    def test_client_and_server_prove_who_they_are(self):
        self.client_and_server_prove_who_they_are()

    def test_each_refuses_whom_it_does_not_expect(self):
        self.each_refuses_whom_it_does_not_expect()


class PythonPageTest(PageTest):
    made = 'python.stamp'

    def commands(self):
        for name, text in page_files('.py').items():
            (self.test_node.dir / name).write_text(text, encoding='utf-8')
        return [[PEERS / 'python/bin/python', self.test_node.dir / name] for name in ('client.py', 'server.py')]

    def test_client_and_server_prove_who_they_are(self):
        self.client_and_server_prove_who_they_are()

    def test_each_refuses_whom_it_does_not_expect(self):
        self.each_refuses_whom_it_does_not_expect()
