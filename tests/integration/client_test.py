"""The C++ client library against the real agent over time: rotations under load, and an agent that is away."""

import json
import os
import socket
import sqlite3
import ssl
import time

from authority import openssl
from node import BUILD, EXIT_OK, NodeTest, entry, eventually, shared_binary

ME = f'unix:uid:{os.geteuid()}'
AGENT, TOOL = 'spiffe://example.org/agent', 'spiffe://example.org/tool'


class HandshakeStormTest(NodeTest):
    def test_none_of_10000_handshakes_fails_while_both_identities_rotate(self):
        node = self.started_node([entry('/agent', ME), entry('/tool', ME)], x509_ttl='10s')
        done = node.run([BUILD / 'tests/integration/handshake_storm', f'unix://{node.socket}', AGENT, TOOL, '10000', '30'], seconds=150)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        seen = json.loads(done.stdout)
        print(done.stdout)
        self.assertEqual((seen['handshakes'], seen['failed']), (10000, 0), seen)
        self.assertGreaterEqual(seen['svids'], 4)  # rotated about every five seconds
        self.assertTrue(seen['covered'])  # each handshake looked into a revocation list


class ToolTest(NodeTest):
    """The demonstration's tool, which is a server by the library, and who calls it."""

    def started(self, *more, **options):
        """A node that knows the tool and its agent by their executables, and the tool, listening."""
        self.programs = {name: shared_binary(f'lanyard-demo-{name}') for name in ('agent', 'tool')}
        node = self.started_node([*(entry(f'/{name}', f'unix:path:{path}') for name, path in self.programs.items()), *more],
                                 **options)
        self.tool = node.start_lines([self.programs['tool'], '--peer-id', AGENT])
        self.host, port = self.tool_says('listening on ').rsplit(' ', 1)[1].split(':')
        self.port = int(port)
        return node

    def tool_says(self, text):
        while text not in (line := self.tool.line()):
            pass
        return line

    def is_answered(self, node):
        return node.run([self.programs['agent'], '--peer-id', TOOL, '--connect', f'{self.host}:{self.port}']).returncode == EXIT_OK

    def knock(self, files=None):
        """A handshake with whoever is there, that need not come to an end; what the tool says of it."""
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        if files:
            anybody.load_cert_chain(files / 'svid.pem', files / 'svid.key')
        try:
            with socket.create_connection((self.host, self.port), timeout=10) as plain, anybody.wrap_socket(plain) as encrypted:
                encrypted.recv(1)
        except OSError:  # an alert is one, too
            pass
        return self.tool_says('refused a caller')


class AgentAwayTest(ToolTest):
    def test_a_tool_says_why_it_answers_nobody_when_the_agent_was_away_for_a_lifetime_and_goes_on_when_it_is_back(self):
        node = self.started(x509_ttl='6s')
        self.assertTrue(self.is_answered(node))
        self.assertEqual(node.stop(), 0)
        eventually(lambda: 'own X.509-SVID spiffe://example.org/tool expired' in self.knock(), 15, 'that the tool has no identity')
        node.start()
        eventually(lambda: self.is_answered(node), 15, 'that the tool answers again')


class RevokedPeerTest(ToolTest):
    def test_a_certificate_that_was_revoked_is_refused_by_a_tool_that_ran_all_along(self):
        node = self.started(entry('/agent', f'{ME}'))  # this test may have the agent's identity, too
        stolen = node.dir / 'stolen'
        done = node.cli('fetch', 'x509', '--write', stolen)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        serial = openssl('x509', '-in', stolen / 'svid.pem', '-noout', '-serial').stdout.strip().split('=')[1].lower()
        self.assertEqual(node.stop(), 0)
        with sqlite3.connect(node.data / 'state.db') as state:
            done = state.execute('INSERT INTO revoked (authority, serial, not_after, revoked_at) '
                                 'SELECT authority, serial, not_after, ? FROM issued WHERE lower(serial) = ?', (int(time.time()), serial))
            self.assertEqual(done.rowcount, 1)
        state.close()
        node.start()
        eventually(lambda: 'it is revoked' in self.knock(stolen), 15, 'that the tool has heard of the revocation')
        self.assertTrue(self.is_answered(node))  # it was that certificate, not the identity
