"""What verifiers that know OpenID Connect find on the bundle endpoint; tests/conformance/oidc_test.py has such verifiers."""

import json
import pathlib
import shutil
import tempfile

from authority import OpensslAuthority
from bundle_endpoint import EndpointTest
from node import EXIT_OK, eventually


class DiscoveryTest(EndpointTest):
    BELOW = '/.well-known/openid-configuration', '/keys'

    def read(self, node, path):
        answer, body = self.get(node, path)
        self.assertEqual((answer.status, answer.getheader('content-type')), (200, 'application/json'), body)
        return json.loads(body)

    def test_both_documents_lie_below_the_path_of_the_issuer(self):
        node = self.serving(oidc={'issuer': 'https://oidc.example.org/node-1'})
        self.assertEqual(self.read(node, '/node-1/.well-known/openid-configuration'), {
            'issuer': 'https://oidc.example.org/node-1', 'jwks_uri': 'https://oidc.example.org/node-1/keys',
            'response_types_supported': ['id_token'], 'subject_types_supported': ['public'],
            'id_token_signing_alg_values_supported': ['ES256']})
        [bundled] = [key for key in self.document(node)['keys'] if key['use'] == 'jwt-svid']
        self.assertEqual(self.read(node, '/node-1/keys'), {'keys': [{**bundled, 'use': 'sig', 'alg': 'ES256'}]})
        for path in self.BELOW:
            self.assertEqual(self.get(node, path)[0].status, 404, path)

    def test_head_and_how_long_an_answer_may_be_kept(self):
        node = self.serving(oidc={'issuer': 'https://oidc.example.org'})
        for path in self.BELOW:
            got, body = self.get(node, path)
            self.assertEqual(got.getheader('cache-control'), f'max-age={self.document(node)["spiffe_refresh_hint"]}')
            head, nothing = self.get(node, path, 'HEAD')
            self.assertEqual((head.status, head.getheader('content-length'), nothing), (200, str(len(body)), b''))
            self.assertEqual(self.get(node, path, 'POST')[0].status, 405)

    def test_without_an_issuer_there_is_nothing(self):
        node = self.serving()
        for path in self.BELOW:
            self.assertEqual(self.get(node, path)[0].status, 404, path)

    def test_the_keys_follow_a_rotation(self):
        node = self.serving(oidc={'issuer': 'https://oidc.example.org'})
        [first] = self.read(node, '/keys')['keys']
        self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        keys = eventually(lambda: (now := self.read(node, '/keys')['keys'])[1:] and now, 10, 'the new key')
        self.assertIn(first, keys)

    def test_without_a_key_for_tokens_the_reason_is_said_and_no_empty_set(self):
        upstream = tempfile.mkdtemp(prefix='lanyard-test-')
        self.addCleanup(shutil.rmtree, upstream)
        authority = OpensslAuthority(pathlib.Path(upstream) / 'ca')
        authority.certify('root')
        authority.certify('issuer', 'root')
        names = {'issuer_cert': 'issuer.crt', 'issuer_key': 'issuer.key', 'upstream_roots': 'root.crt'}
        node = self.serving(cert=True, oidc={'issuer': 'https://oidc.example.org'}, identity_source={
            'embedded_ca': {key: str(authority.dir / name) for key, name in names.items()}})
        for path in self.BELOW:
            answer, body = self.get(node, path)
            self.assertEqual((answer.status, answer.getheader('cache-control')), (503, 'no-store'))
            self.assertIn(b'jwt_authority_key', body)
        self.assertEqual(self.document(node)['keys'][0]['use'], 'x509-svid', 'the bundle is served')
        checked = node.cli('config', 'check', node.config)
        self.assertEqual(checked.returncode, EXIT_OK)
        self.assertRegex(checked.stderr, 'warning: .*no jwt_authority_key')
        self.assertIn('the given issuer has no jwt_authority_key', node.log_text())

    def test_a_certificate_that_does_not_name_the_host_of_the_issuer_is_told(self):
        for host, told in (('oidc.example.org', True), ('localhost', False), ('127.0.0.1', False)):
            node = self.serving(cert=True, oidc={'issuer': f'https://{host}:8443/node-1'})
            self.assertEqual(f'does not name {host}' in node.log_text(), told, host)
