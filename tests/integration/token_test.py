"""JWT-SVIDs and WIT-SVIDs of the real binary, asked for and presented by callers that mean no good.

The key that signs tokens is given to the agent by a file, so that the test can sign with it what no agent would sign.
"""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

from authority import OpensslAuthority
from node import NodeTest, entry
from protobuf import field, fields

RAW = pathlib.Path(__file__).parents[1] / 'support/python/raw_call.py'
ME = f'unix:uid:{os.geteuid()}'
OK, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE = 0, 3, 7, 8, 14


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def text(value):
    return base64url(value if isinstance(value, bytes) else json.dumps(value).encode())


def sign(key, signing_input):
    """ES256 by the openssl program, as the 64 bytes of RFC 7518 §3.4."""
    der = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', str(key)], input=signing_input.encode(), capture_output=True,
                         check=True).stdout
    numbers, at = [], 2
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], 'big').to_bytes(32, 'big'))
        at += 2 + length
    return base64url(b''.join(numbers))


class TokenTest(NodeTest):
    def given(self, token_key=True, entries=None):
        """An agent under an intermediate that openssl has certified, with a key for tokens or without."""
        node = self.node(entries if entries is not None else [entry('/me', ME)])
        upstream = OpensslAuthority(node.dir / 'upstream')
        upstream.certify('root')
        upstream.certify('issuer', 'root')
        upstream.certify('tokens')
        ca = {'issuer_cert': 'issuer.crt', 'issuer_key': 'issuer.key', 'upstream_roots': 'root.crt'}
        if token_key:
            ca['jwt_authority_key'] = 'tokens.key'
        self.token_key = upstream.dir / 'tokens.key'
        node.write_config(more=[('identity_source', {'embedded_ca': {key: str(upstream.dir / name) for key, name in ca.items()}})])
        return node.start()

    def ask(self, node, method, message=b''):
        done = subprocess.run([sys.executable, RAW, 'ask', node.socket, f'/SpiffeWorkloadAPI/{method}'],
                              input=message.hex(), capture_output=True, text=True, check=True, timeout=60)
        answer = json.loads(done.stdout)
        return bytes.fromhex(answer['answer']) if answer['answer'] is not None else None, answer['status'], answer['why']

    def fetch(self, node, *audiences):
        """The tokens of an answer."""
        answer, status, why = self.ask(node, 'FetchJWTSVID', b''.join(field(1, audience) for audience in audiences))
        self.assertEqual(status if answer is None else OK, OK, why + node.log_text())
        return [fields(svid)[2][0].decode() for svid in fields(answer)[1]]

    def validate(self, node, token, audience='billing'):
        return self.ask(node, 'ValidateJWTSVID', field(1, audience) + field(2, token))

    def key_id(self, node):
        answer, _, why = self.ask(node, 'FetchJWTBundles')
        self.assertIsNotNone(answer, why)
        return json.loads(fields(fields(answer)[1][0])[2][0])['keys'][0]['kid']


class PresentedTokensTest(TokenTest):
    def setUp(self):
        self.agent = self.given()
        self.kid = self.key_id(self.agent)
        self.header = {'alg': 'ES256', 'kid': self.kid, 'typ': 'JWT'}
        now = int(time.time())
        self.claims = {'sub': 'spiffe://example.org/me', 'aud': ['billing'], 'exp': now + 60, 'iat': now}

    def signed(self, header=None, claims=None):
        """A token of the authority's own key, whatever it says."""
        both = f'{text(header or self.header)}.{text(claims or self.claims)}'
        return f'{both}.{sign(self.token_key, both)}'

    def refused(self, token, *words):
        answer, status, why = self.validate(self.agent, token)
        self.assertEqual((answer, status), (None, INVALID_ARGUMENT), why)
        self.assertNotIn(token.split('.')[-1][:20] or 'no signature', why)
        for word in words:
            self.assertIn(word, why)

    def test_what_the_test_signs_counts_so_each_refusal_has_its_own_reason(self):
        answer, _, why = self.validate(self.agent, self.signed())
        self.assertIsNotNone(answer, why)
        self.assertEqual(fields(answer)[1], [b'spiffe://example.org/me'])

    def test_headers_that_no_jwt_svid_has_are_refused(self):
        other = {'kty': 'EC', 'crv': 'P-256', 'x': 'AA', 'y': 'AA'}
        for change, word in [({'alg': 'none'}, 'none'), ({'alg': 'HS256'}, 'alg'), ({'kid': 'unknown'}, 'key'), ({'typ': 'wit+jwt'}, 'typ'),
                             ({'typ': 'at+jwt'}, 'typ'), ({'jwk': other}, 'jwk'), ({'x5c': ['AA==']}, 'x5c'),
                             ({'jku': 'https://example.org/keys'}, 'jku'), ({'crit': ['exp'], 'exp': 1}, 'crit')]:
            with self.subTest(change):
                self.refused(self.signed({**self.header, **change}), word)
        without_kid = {name: value for name, value in self.header.items() if name != 'kid'}
        self.refused(self.signed(without_kid), 'kid')

    def test_an_unsigned_token_is_refused(self):
        self.refused(f'{text({**self.header, "alg": "none"})}.{text(self.claims)}.')

    def test_the_public_key_is_no_shared_secret(self):
        both = f'{text({**self.header, "alg": "HS256"})}.{text(self.claims)}'
        self.refused(f'{both}.{base64url(hashlib.sha256(both.encode()).digest())}', 'alg')

    def test_two_signatures_are_refused_in_every_form(self):
        token = self.signed()
        header, claims, signature = token.split('.')
        one = {'protected': header, 'signature': signature}
        for form in [f'{token}.{signature}', json.dumps({'payload': claims, **one}),
                     json.dumps({'payload': claims, 'signatures': [one, one]}), json.dumps({'payload': claims, 'signatures': [one]})]:
            with self.subTest(form[:20]):
                self.refused(form)

    def test_a_claim_that_stands_twice_is_refused(self):
        twice = json.dumps(self.claims)[:-1] + ', "sub": "spiffe://example.org/admin"}'
        self.refused(self.signed(claims=twice.encode()))
        header = json.dumps(self.header)[:-1] + ', "alg": "ES256"}'
        self.refused(self.signed(header=header.encode()))

    def test_claims_that_do_not_hold_are_refused(self):
        now = int(time.time())
        for change in [{'aud': []}, {'aud': ['other']}, {'aud': 7}, {'exp': now}, {'exp': now - 1}, {'exp': 'soon'}, {'exp': None},
                       {'nbf': now + 120}, {'iat': now + 120}, {'sub': 'me'}, {'sub': ''}, {'sub': 'spiffe://example.org/me/'},
                       {'sub': 'spiffe://partner.example/me'}, {'sub': 7}]:
            with self.subTest(change):
                self.refused(self.signed(claims={**self.claims, **change}))
        for name in ('sub', 'aud', 'exp'):
            with self.subTest(f'without {name}'):
                self.refused(self.signed(claims={key: value for key, value in self.claims.items() if key != name}), name)

    def test_a_token_of_another_authority_with_our_key_id_is_refused(self):
        ours, self.token_key = self.token_key, self.token_key.with_name('root.key')
        token = self.signed()
        self.token_key = ours
        self.refused(token, 'signature')

    def test_huge_tokens_are_refused_and_the_agent_lives_on(self):
        self.refused('A' * 16000)
        self.refused(self.signed(claims={**self.claims, 'more': {'x': '[' * 9000}}) + '.' * 200)
        deep = json.dumps(self.claims)[:-1] + ', "deep": ' + '[' * 4000 + ']' * 4000 + '}'
        self.refused(self.signed(claims=deep.encode()))
        _, status, _ = self.validate(self.agent, 'A' * 200000)
        self.assertIn(status, (INVALID_ARGUMENT, RESOURCE_EXHAUSTED))
        self.assertIsNotNone(self.validate(self.agent, self.signed())[0])


class FetchedTokensTest(TokenTest):
    def test_ill_formed_requests_are_refused_and_the_agent_lives_on(self):
        node = self.given()
        for message in [b'', field(1, ''), field(1, 'a') + field(1, ''), b''.join(field(1, f'a{n}') for n in range(1000)),
                        field(1, 'a') + field(2, 'me'), field(1, 'a') + field(2, 'spiffe://example.org/me/'),
                        field(1, b'\xff\xfe'), field(1, 'a') + b'\x12\xff\xff\xff\xff\x0f', b'\xff' * 100]:
            with self.subTest(message[:20]):
                answer, status, why = self.ask(node, 'FetchJWTSVID', message)
                self.assertEqual((answer, status), (None, INVALID_ARGUMENT), why)
        _, status, _ = self.ask(node, 'FetchJWTSVID', b''.join(field(1, f'audience-{n:040}') for n in range(2000)))
        self.assertIn(status, (INVALID_ARGUMENT, RESOURCE_EXHAUSTED))
        for method in ('FetchJWTSVID', 'FetchWITSVID'):
            for other in ('spiffe://example.org/other', 'spiffe://partner.example/me'):
                asked = field(1, 'a') + field(2, other) if method == 'FetchJWTSVID' else field(1, other)
                self.assertEqual(self.ask(node, method, asked)[1], PERMISSION_DENIED)
        self.assertEqual(len(self.fetch(node, 'a')), 1)

    def test_no_token_and_no_key_reaches_a_log(self):
        node = self.given()
        tokens = self.fetch(node, 'billing', 'reports')
        answer, _, why = self.ask(node, 'FetchWITSVID')
        self.assertIsNotNone(answer, why)
        wit = fields(fields(answer)[1][0])
        self.validate(node, tokens[0], 'reports')
        self.validate(node, tokens[0], 'other')
        self.validate(node, tokens[0][:-4] + 'AAAA', 'reports')
        written = node.log_text() + node.data.joinpath('audit/audit.jsonl').read_text(encoding='utf-8')
        self.assertIn('/SpiffeWorkloadAPI/FetchJWTSVID', written)
        for secret in [tokens[0].split('.')[2], tokens[0].split('.')[1], wit[2][0].decode().split('.')[2],
                       json.loads(wit[3][0])['d']]:
            self.assertNotIn(secret[:24], written)

    def test_an_issuer_without_a_key_for_tokens_says_so_and_certificates_are_issued(self):
        node = self.given(token_key=False)
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
        for method, message in [('FetchJWTSVID', field(1, 'billing')), ('FetchJWTBundles', b''), ('FetchWITSVID', b''),
                                ('FetchWITBundles', b'')]:
            answer, status, why = self.ask(node, method, message)
            self.assertEqual((answer, status), (None, UNAVAILABLE), method)
            self.assertIn('jwt_authority_key', why, method)
        now = int(time.time())
        both = f'{text({"alg": "ES256", "kid": "x"})}.{text({"sub": "spiffe://example.org/me", "aud": "billing", "exp": now + 60})}'
        _, status, why = self.validate(node, f'{both}.{sign(self.token_key, both)}')
        self.assertEqual(status, UNAVAILABLE, why)
        self.assertIn('jwt_authority_key', why)
        self.assertIn('jwt_authority_key', node.cli('health').stdout)

    def test_another_key_in_the_file_signs_from_then_on_and_older_tokens_count(self):
        node = self.given()
        before = self.fetch(node, 'billing')[0]
        first = self.key_id(node)
        (self.token_key.with_name('issuer2.key')).write_bytes(self.token_key.with_name('root.key').read_bytes())
        self.token_key.with_name('issuer2.key').chmod(0o600)
        self.token_key.with_name('issuer2.key').replace(self.token_key)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            after = self.fetch(node, f'billing-{time.monotonic()}')[0]
            header = json.loads(base64.urlsafe_b64decode(after.split('.')[0] + '=='))
            if header['kid'] != first:
                break
            time.sleep(0.1)
        self.assertNotEqual(header['kid'], first)
        self.assertIsNotNone(self.validate(node, before)[0])
