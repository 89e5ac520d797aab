"""JWT-SVIDs judged by people's OpenID Connect libraries, which know the issuer's URL and nothing of SPIFFE.

PyJWT and go-oidc fetch the discovery document and the keys from the agent's bundle endpoint, over TLS that they verify.
A WIT-SVID is no ID token for them.
"""

import json
import pathlib
import subprocess

from bundle_endpoint import EndpointTest
from clients_test import GO
from node import EXIT_OK, eventually
from peers import PEERS
from process import scaled
from spire import free_port

CHECK = pathlib.Path(__file__).with_name('python') / 'check_oidc.py'


class OidcTest(EndpointTest):
    def setUp(self):
        if not PEERS.joinpath('go-spiffe-peer.stamp').exists() or not PEERS.joinpath('python.stamp').exists():
            self.skipTest('the clients are not there; tests/peers.sh makes them')

    def issuing(self, path='', **more):
        port = free_port()
        self.issuer = f'https://localhost:{port}{path}'
        return self.serving(cert=True, port=port, oidc={'issuer': self.issuer}, **more)

    def tokens(self, node, *command):
        done = node.run([*GO, *command])
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        return [svid['token'] for svid in json.loads(done.stdout)['svids']]

    def judged(self, node, *tokens, audience='cloud'):
        done = subprocess.run([PEERS / 'python/bin/python', CHECK, self.issuer, audience, node.dir / 'first.crt'],
                              input=json.dumps(tokens), capture_output=True, text=True, check=False, timeout=scaled(60))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + node.log_text())
        return [json.loads(line) for line in done.stdout.splitlines()]

    def go_oidc(self, node, *arguments):
        node.client_environment = lambda inherited=node.client_environment(): {
            **inherited, 'SSL_CERT_FILE': str(node.dir / 'first.crt')}
        return node.run([*GO, 'oidc', '--issuer', self.issuer, *arguments])

    def test_pyjwt_accepts_a_jwt_svid_by_the_discovery_document_alone(self):
        node = self.issuing('/node-1')
        [token] = self.tokens(node, 'jwt', '--audience', 'cloud')
        [good] = self.judged(node, token)
        self.assertEqual((good['claims']['iss'], good['claims']['sub'], good['claims']['aud']),
                         (self.issuer, 'spiffe://example.org/me', ['cloud']))
        [bad] = self.judged(node, token, audience='others')
        self.assertEqual(bad['refused'], 'InvalidAudienceError')

    def test_pyjwt_refuses_a_wit_svid_and_a_token_that_was_changed(self):
        node = self.issuing()
        [token] = self.tokens(node, 'jwt', '--audience', 'cloud')
        [wit] = self.tokens(node, 'wit')
        head, payload, signature = token.split('.')
        refused = self.judged(node, wit, f'{head}.{payload[:-4]}AAAA.{signature}')
        self.assertIn('Unable to find a signing key', refused[0]['why'])
        self.assertIn('refused', refused[1])

    def test_pyjwt_accepts_what_was_signed_before_and_after_a_rotation(self):
        node = self.issuing()
        [before] = self.tokens(node, 'jwt', '--audience', 'cloud')
        self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        eventually(lambda: len(json.loads(self.get(node, '/keys')[1])['keys']) == 2, 10, 'the new key')
        [after] = self.tokens(node, 'jwt', '--audience', 'another', '--audience', 'cloud')
        self.assertNotEqual(before.split('.')[0], after.split('.')[0], 'another key')
        self.assertTrue(all('claims' in one for one in self.judged(node, before, after)))

    def test_go_oidc_accepts_a_jwt_svid_and_refuses_a_wit_svid(self):
        for path in ('', '/node-1/'):
            node = self.issuing(path, identity_source={'embedded_ca': {'key_type': 'ec-p384'}})
            done = self.go_oidc(node, '--audience', 'cloud', '--as', 'cloud')
            self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
            got = json.loads(done.stdout)
            self.assertEqual((got['issuer'], got['subject'], got['audience']), (self.issuer, 'spiffe://example.org/me', ['cloud']))
            self.assertIn('failed to verify', got['wit'])

    def test_go_oidc_refuses_a_jwt_svid_for_another_audience(self):
        done = self.go_oidc(self.issuing(), '--audience', 'cloud', '--as', 'others')
        self.assertIn('expected audience "others"', json.loads(done.stdout)['error'])
