"""The C++ client library against the real agent over time: rotations under load, and an agent that is away."""

import json
import os
import socket
import ssl

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


class AgentAwayTest(NodeTest):
    def test_a_tool_says_why_it_answers_nobody_when_the_agent_was_away_for_a_lifetime_and_goes_on_when_it_is_back(self):
        programs = {name: shared_binary(f'lanyard-demo-{name}') for name in ('agent', 'tool')}
        node = self.started_node([entry(f'/{name}', f'unix:path:{path}') for name, path in programs.items()], x509_ttl='6s')
        tool = node.start_lines([programs['tool'], '--peer-id', AGENT])
        host, port = self.line_with(tool, 'listening on ').rsplit(' ', 1)[1].split(':')
        call = [programs['agent'], '--peer-id', TOOL, '--connect', f'{host}:{port.strip()}']
        self.assertEqual(node.run(call).returncode, EXIT_OK)

        self.assertEqual(node.stop(), 0)

        def refused_for_its_own_sake():
            self.knock(host, int(port))
            return 'own X.509-SVID spiffe://example.org/tool expired' in self.line_with(tool, 'refused a caller')
        eventually(refused_for_its_own_sake, 15, 'that the tool has no identity any more')

        node.start()
        eventually(lambda: node.run(call).returncode == EXIT_OK, 15, 'that the tool answers again')

    def line_with(self, program, text):
        while text not in (line := program.line()):
            pass
        return line

    def knock(self, host, port):
        """A handshake with whoever is there, that need not come to an end."""
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((host, port), timeout=10) as plain, anybody.wrap_socket(plain) as encrypted:
                encrypted.recv(1)
        except OSError:  # an alert is one, too
            pass
