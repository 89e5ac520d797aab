"""The agent's tokens, judged by PyJWT and cryptography; grpcurl fetches them. The other way round there are vectors:
tests/unit/pki/token_vectors.h."""

import base64
import json
import os
import pathlib
import subprocess

import grpcurl
from node import NodeTest, entry
from peers import PEERS
from process import scaled

CHECK = pathlib.Path(__file__).with_name('python') / 'check_tokens.py'
ISSUER = 'https://oidc.example.org'


class TokensTest(NodeTest):
    def accepts(self, key_type):
        if not grpcurl.GRPCURL.exists() or not PEERS.joinpath('python.stamp').exists():
            self.skipTest('grpcurl and the Python clients are not there; tests/peers.sh makes them')
        node = self.node([entry('/tool', f'unix:uid:{os.geteuid()}')])
        node.write_config(more={'identity_source': {'embedded_ca': {'key_type': key_type}}, 'oidc': {'issuer': ISSUER},
                                'svid': {'x509_ttl': '1h', 'key_type': key_type}})
        node.start()
        [jwt] = grpcurl.first_message(node, 'FetchJWTSVID', {'audience': ['reports', 'billing']})['svids']
        [wit] = grpcurl.first_message(node, 'FetchWITSVID')['svids']
        jwt_bundles = grpcurl.first_message(node, 'FetchJWTBundles')['bundles']
        wit_bundles = grpcurl.first_message(node, 'FetchWITBundles')['bundles']
        self.assertEqual((list(jwt_bundles), list(wit_bundles)), (['spiffe://example.org'], ['spiffe://example.org']))
        fetched = {'key_type': key_type, 'issuer': ISSUER, 'jwt': jwt['svid'], 'wit': wit['witSvid'],
                   'jwt_keys': json.loads(base64.b64decode(jwt_bundles['spiffe://example.org'])),
                   'wit_key': json.loads(wit['witSvidKey']), 'wit_keys': json.loads(wit_bundles['spiffe://example.org'])}
        done = subprocess.run([PEERS / 'python/bin/python', CHECK], input=json.dumps(fetched), text=True,
                              capture_output=True, check=False, timeout=scaled(60))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(json.loads(done.stdout), {'good': ['jwt', 'wit']})

    def test_pyjwt_accepts_tokens_of_p256_keys_and_for_no_other_audience(self):
        self.accepts('ec-p256')

    def test_pyjwt_accepts_tokens_of_p384_keys_and_for_no_other_audience(self):
        self.accepts('ec-p384')

    def test_pyjwt_accepts_tokens_of_rsa_keys_and_for_no_other_audience(self):
        self.accepts('rsa-2048')
