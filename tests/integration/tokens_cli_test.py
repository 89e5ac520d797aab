"""The command line verbs for tokens against the real agent; what they hand out is judged by the openssl program."""

import base64
import json
import os
import subprocess
import time

from node import EXIT_DENIED, EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE, NodeTest, entry
from token_test import TokenTest, sign, text

ME = f'unix:uid:{os.geteuid()}'


def part(token, index):
    """Header (0) or claims (1) of a token."""
    encoded = token.split('.')[index]
    return json.loads(base64.urlsafe_b64decode(encoded + '=' * (-len(encoded) % 4)))


def public_point(key):
    """x and y of a private P-256 key's public half, by the openssl program."""
    der = subprocess.run(['openssl', 'pkey', '-in', str(key), '-pubout', '-outform', 'DER'], capture_output=True, check=True).stdout
    return [base64.urlsafe_b64encode(number).rstrip(b'=').decode() for number in (der[-64:-32], der[-32:])]


class TokenVerbsTest(NodeTest):
    def fetched(self, node, *options):
        done = node.cli('fetch', 'jwt', *options)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr + node.log_text())
        return done.stdout

    def validate(self, node, token, audience='billing', *options):
        """With the token on standard input."""
        return subprocess.run([node.binary, 'validate', 'jwt', '--audience', audience, *options], input=token, text=True,
                              capture_output=True, check=False, env=node.client_environment(), timeout=60)


class FetchJwtTest(TokenVerbsTest):
    def test_text_is_one_token_for_the_audiences_that_were_named(self):
        node = self.started_node([entry('/me', ME)])
        token = self.fetched(node, '--audience', 'billing', '--audience', 'reports')
        self.assertEqual(token.count('\n'), 1)
        claims = part(token.strip(), 1)
        self.assertEqual((claims['sub'], set(claims['aud'])), ('spiffe://example.org/me', {'billing', 'reports'}))
        [svid] = json.loads(self.fetched(node, '--audience', 'billing', '--output', 'json'))['svids']
        self.assertEqual((svid['spiffe_id'], svid['audience']), ('spiffe://example.org/me', ['billing']))
        expires = time.strptime(svid['expires_at'], '%Y-%m-%dT%H:%M:%SZ')
        self.assertEqual(part(svid['token'], 1)['exp'], int(time.mktime(expires)) - time.timezone)

    def test_one_of_several_identities_can_be_chosen_and_no_other(self):
        node = self.started_node([entry('/one', ME), entry('/two', ME, hint='second')])
        self.assertEqual(self.fetched(node, '--audience', 'a').count('\n'), 2)
        token = self.fetched(node, '--audience', 'a', '--spiffe-id', 'spiffe://example.org/two')
        self.assertEqual((token.count('\n'), part(token, 1)['sub']), (1, 'spiffe://example.org/two'))
        for verb in (('fetch', 'jwt', '--audience', 'a'), ('fetch', 'wit')):
            done = node.cli(*verb, '--spiffe-id', 'spiffe://example.org/three')
            self.assertEqual((done.returncode, done.stdout), (EXIT_DENIED, ''))
            self.assertIn('lets this process be spiffe://example.org/three', done.stderr)

    def test_a_process_without_identity_is_denied_and_no_agent_is_told_apart(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        token = self.token_of_another_agent()
        verbs = [('fetch', 'jwt', '--audience', 'a'), ('fetch', 'wit'), ('fetch', 'bundle', '--output', 'json'), ('watch', 'jwt'),
                 ('validate', 'jwt', '--audience', 'billing', token)]
        for verb in verbs:
            done = node.cli(*verb)
            self.assertEqual((done.returncode, done.stdout), (EXIT_DENIED, ''), verb)
            self.assertIn('no registry entry matches this process', done.stderr)
        node.stop()
        for verb in verbs:
            done = node.cli(*verb)
            self.assertEqual((done.returncode, done.stdout), (EXIT_UNREACHABLE, ''), verb)

    def token_of_another_agent(self):
        return self.fetched(self.started_node([entry('/me', ME)]), '--audience', 'billing').strip()


class ValidateTest(TokenVerbsTest):
    def test_a_token_counts_for_its_audience_alone(self):
        node = self.started_node([entry('/me', ME)])
        token = self.fetched(node, '--audience', 'billing')
        done = self.validate(node, token)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        self.assertTrue(done.stdout.startswith('spiffe://example.org/me\n'), done.stdout)
        answer = json.loads(self.validate(node, token, 'billing', '--output', 'json').stdout)
        self.assertEqual(answer, {'spiffe_id': 'spiffe://example.org/me', 'claims': part(token, 1)})
        self.assertEqual(node.cli('validate', 'jwt', '--audience', 'billing', token.strip()).returncode, EXIT_OK)
        done = self.validate(node, token, 'reports')
        self.assertEqual((done.returncode, done.stdout), (EXIT_DENIED, ''))
        self.assertIn('not valid', done.stderr)

    def test_what_is_no_token_or_not_ours_is_four(self):
        node = self.started_node([entry('/me', ME)])
        token = self.fetched(node, '--audience', 'billing').strip()
        header, claims, _ = token.split('.')
        stranger = self.fetched(self.started_node([entry('/me', ME)]), '--audience', 'billing')
        for bad in ('garbage', token[:-20], f'{header}.{claims}.{token[:86]}', stranger):
            done = self.validate(node, bad)
            self.assertEqual((done.returncode, done.stdout), (EXIT_DENIED, ''), bad)
            self.assertNotIn(bad.strip()[-20:], done.stderr)
        self.assertEqual(self.validate(node, '').returncode, EXIT_USAGE)


class ExpiredTokenTest(TokenTest, TokenVerbsTest):
    validate = TokenVerbsTest.validate

    def test_an_expired_token_is_four_and_says_so(self):
        node = self.given()
        header = {'alg': 'ES256', 'kid': self.key_id(node), 'typ': 'JWT'}
        now = int(time.time())
        for exp, code in ((now + 60, EXIT_OK), (now - 1, EXIT_DENIED)):
            both = f'{text(header)}.{text({"sub": "spiffe://example.org/me", "aud": ["billing"], "exp": exp})}'
            done = self.validate(node, f'{both}.{sign(self.token_key, both)}')
            self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn('expired', done.stderr)


class AuthoritiesTest(TokenVerbsTest):
    def test_watch_sees_a_rotation_and_the_bundle_document_has_every_kind(self):
        node = self.started_node([entry('/me', ME)])
        watch = node.start_cli('watch', 'jwt', '--output', 'json')
        first = watch.json()
        self.assertEqual(first['kind'], 'jwt')
        [before] = first['bundles']
        done = node.cli('ca', 'rotate')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        [after] = watch.json()['bundles']
        self.assertEqual(after['trust_domain'], 'spiffe://example.org')
        self.assertLess(set(before['authorities']), set(after['authorities']))
        done = node.cli('fetch', 'bundle', '--output', 'json')
        self.assertEqual((done.returncode, done.stderr), (EXIT_OK, ''))
        keys = json.loads(done.stdout)['spiffe://example.org']['keys']
        self.assertEqual({key['use'] for key in keys}, {'x509-svid', 'jwt-svid', 'wit-svid'})
        self.assertEqual({key['kid'] for key in keys if key['use'] == 'jwt-svid'}, set(after['authorities']))
        header = part(self.fetched(node, '--audience', 'a'), 0)
        self.assertIn(header['kid'], after['authorities'])


class AgentWithoutTokensTest(TokenTest):
    def test_its_x509_authorities_are_fetched_and_what_is_missing_is_said(self):
        node = self.given(token_key=False)
        done = node.cli('fetch', 'bundle', '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        self.assertEqual({key['use'] for key in json.loads(done.stdout)['spiffe://example.org']['keys']}, {'x509-svid'})
        for kind in ('JWT-SVIDs', 'WIT-SVIDs'):
            self.assertIn(f'without the keys for {kind}', done.stderr)
        done = node.cli('fetch', 'jwt', '--audience', 'a')
        self.assertEqual((done.returncode, done.stdout), (EXIT_FAILED, ''))
        self.assertIn('jwt_authority_key', done.stderr)


class FetchWitTest(TokenVerbsTest):
    def test_the_files_are_private_and_the_key_is_the_one_that_the_token_names(self):
        node = self.started_node([entry('/me', ME), entry('/two', ME)])
        for wanted, options in (('me', ()), ('two', ('--spiffe-id', 'spiffe://example.org/two'))):
            folder = node.dir / wanted
            done = node.cli('fetch', 'wit', '--write', folder, *options)
            self.assertEqual(done.returncode, EXIT_OK, done.stderr)
            self.assertNotIn('PRIVATE', done.stdout)
            token, key = folder / 'wit-svid.jwt', folder / 'wit-svid.key'
            self.assertEqual([oct(file.stat().st_mode & 0o777) for file in (token, key)], ['0o600', '0o600'])
            self.assertEqual(part(token.read_text(encoding='ascii'), 0)['typ'], 'wit+jwt')
            claims = part(token.read_text(encoding='ascii'), 1)
            self.assertEqual(claims['sub'], f'spiffe://example.org/{wanted}')
            jwk = claims['cnf']['jwk']
            self.assertEqual([jwk['x'], jwk['y']], public_point(key))

    def test_without_write_no_key_is_shown(self):
        node = self.started_node([entry('/me', ME)])
        done = node.cli('fetch', 'wit', '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        [svid] = json.loads(done.stdout)['svids']
        self.assertEqual(set(svid), {'spiffe_id', 'hint', 'expires_at', 'key_type', 'token'})
        self.assertNotIn('"d"', done.stdout)
