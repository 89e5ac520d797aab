"""Tokens by other people's SPIFFE clients, as they come: go-spiffe 2.9.0 and Python's spiffe 0.3.2."""

import json

from clients_test import GO, ME, PYTHON, ClientTest
from node import EXIT_FAILED, EXIT_OK, entry

MINE = f'unix:uid:{ME}'


class TokenClientTest(ClientTest):
    """What every client must be able to do; subclasses say which client."""

    def two_identities(self):
        return self.started_node([entry('/first', MINE, hint='internal'), entry('/second', MINE)])

    def failure(self, node, *arguments):
        done = node.run([*self.client, *arguments], seconds=60)
        self.assertEqual(done.returncode, EXIT_FAILED, done.stdout + done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def fetches_jwt_svids(self):
        node = self.two_identities()
        got = self.peer(node, 'jwt', '--audience', 'reports', '--audience', 'billing')
        self.assertEqual([svid['id'] for svid in got['svids']], ['spiffe://example.org/first', 'spiffe://example.org/second'])
        self.assertTrue(all(svid['verified'] and sorted(svid['audience']) == ['billing', 'reports'] for svid in got['svids']), got)
        self.assertEqual(got['first']['id'], 'spiffe://example.org/first')
        one = self.peer(node, 'jwt', '--audience', 'reports', '--id', 'spiffe://example.org/second')
        self.assertEqual([svid['id'] for svid in one['svids']], ['spiffe://example.org/second'])
        return got

    def fetches_by_a_source(self):
        node = self.started_node([entry('/me', MINE)])
        [svid] = self.peer(node, 'jwt-source', '--audience', 'reports')['svids']
        self.assertEqual((svid['id'], svid['verified']), ('spiffe://example.org/me', True))

    def sees_both_keys_after_a_rotation(self, fetch, watch):
        node = self.started_node([entry('/me', MINE)])
        [key] = self.peer(node, fetch)['bundles']['example.org']
        stream = node.start_lines([*self.client, watch, '--updates', '2'])
        self.assertEqual(stream.json(20)['bundles'], {'example.org': [key]})
        self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        keys = stream.json(20)['bundles']['example.org']
        self.assertEqual((len(keys), key in keys), (2, True))
        self.assertEqual(stream.wait(), EXIT_OK)

    def is_told_whether_a_token_is_good(self):
        node = self.started_node([entry('/me', MINE)])
        good = self.peer(node, 'validate-jwt', '--audience', 'reports', '--as', 'reports')
        self.assertEqual(good['id'], 'spiffe://example.org/me')
        self.assertIn('audience', self.failure(node, 'validate-jwt', '--audience', 'reports', '--as', 'others')['error'])
        return good


class GoSpiffeTokensTest(TokenClientTest):
    client = GO

    def test_go_spiffe_fetches_jwt_svids_in_order_with_their_hints_and_verifies_them(self):
        self.assertEqual([svid['hint'] for svid in self.fetches_jwt_svids()['svids']], ['internal', ''])

    def test_go_spiffes_jwt_source_fetches_and_verifies(self):
        self.fetches_by_a_source()

    def test_go_spiffe_sees_both_jwt_keys_after_a_rotation(self):
        self.sees_both_keys_after_a_rotation('jwt-bundles', 'watch-jwt-bundles')

    def test_go_spiffe_is_told_whether_a_jwt_svid_is_good_and_what_it_says(self):
        claims = self.is_told_whether_a_token_is_good()['claims']
        self.assertEqual((claims['sub'], claims['aud']), ('spiffe://example.org/me', ['reports']))

    def test_go_spiffe_is_told_why_there_is_no_token(self):
        node = self.started_node([entry('/me', MINE)])
        for arguments in (['jwt', '--audience', ''], ['validate-jwt', '--audience', 'a', '--as', 'b'],
                          ['validate-jwt', '--audience', 'a', '--as', '']):
            self.assertEqual(self.failure(node, *arguments)['code'], 'InvalidArgument', arguments)
        for identity in ('spiffe://example.org/other', 'spiffe://partner.example/me'):
            for arguments in (['jwt', '--audience', 'a', '--id', identity], ['wit', '--id', identity]):
                self.assertEqual(self.failure(node, *arguments)['code'], 'PermissionDenied', arguments)
        stranger = self.started_node([entry('/other', 'unix:uid:4242')])
        for arguments in (['jwt', '--audience', 'a'], ['wit'], ['jwt-bundles'], ['wit-bundles']):
            self.assertEqual(self.failure(stranger, *arguments)['code'], 'PermissionDenied', arguments)

    def test_go_spiffe_fetches_wit_svids_whose_keys_are_those_in_the_tokens(self):
        node = self.two_identities()
        got = self.peer(node, 'wit')
        self.assertEqual([(svid['id'], svid['hint'], svid['verified']) for svid in got['svids']],
                         [('spiffe://example.org/first', 'internal', True), ('spiffe://example.org/second', '', True)])
        [one] = self.peer(node, 'wit', '--id', 'spiffe://example.org/second')['svids']
        self.assertEqual((one['id'], one['verified']), ('spiffe://example.org/second', True))

    def test_go_spiffes_wit_source_fetches_and_verifies(self):
        node = self.two_identities()
        [svid] = self.peer(node, 'wit-source', '--id', 'spiffe://example.org/second')['svids']
        self.assertEqual((svid['id'], svid['verified']), ('spiffe://example.org/second', True))

    def test_go_spiffe_sees_both_wit_keys_after_a_rotation(self):
        self.sees_both_keys_after_a_rotation('wit-bundles', 'watch-wit-bundles')

    def test_go_spiffe_streams_wit_svids_through_renewals(self):
        node = self.started_node([entry('/me', MINE)], x509_ttl='6s')
        watch = node.start_lines([*GO, 'watch-wit', '--updates', '3'])
        updates = [watch.json(20)['svids'] for _ in range(3)]
        self.assertEqual({(svid['id'], svid['verified']) for [svid] in updates}, {('spiffe://example.org/me', True)})
        self.assertEqual(len({svid['token'] for [svid] in updates}), 3)
        self.assertEqual(watch.wait(), EXIT_OK)


class PythonSpiffeTokensTest(TokenClientTest):
    client = PYTHON

    def test_python_spiffe_fetches_jwt_svids_in_order_and_verifies_them(self):
        self.fetches_jwt_svids()

    def test_python_spiffes_jwt_source_fetches_and_verifies(self):
        self.fetches_by_a_source()

    def test_python_spiffe_sees_both_jwt_keys_after_a_rotation(self):
        self.sees_both_keys_after_a_rotation('jwt-bundles', 'watch-jwt-bundles')

    def test_python_spiffe_is_told_whether_a_jwt_svid_is_good(self):
        self.is_told_whether_a_token_is_good()

    def test_python_spiffe_is_told_why_there_is_no_token(self):
        node = self.started_node([entry('/me', MINE)])
        for identity in ('spiffe://example.org/other', 'spiffe://partner.example/me'):
            self.assertIn('PERMISSION_DENIED', self.failure(node, 'jwt', '--audience', 'a', '--id', identity)['error'])
        stranger = self.started_node([entry('/other', 'unix:uid:4242')])
        for arguments in (['jwt', '--audience', 'a'], ['jwt-bundles']):
            self.assertIn('PERMISSION_DENIED', self.failure(stranger, *arguments)['error'], arguments)
