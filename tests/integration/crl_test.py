"""Revocation lists from the state store to the files of a workload, judged by OpenSSL's own check of lists."""

import os
import sqlite3
import time

from authority import OpensslAuthority, openssl
from node import EXIT_OK, NodeTest, entry

ME = f'unix:uid:{os.geteuid()}'
NAMES = ('good', 'bad')


class RevocationTest(NodeTest):
    """What both kinds of authority are asked for."""

    def entries(self):
        return [entry(f'/{name}', ME) for name in NAMES]

    def write(self, node, name, directory=None):
        """`fetch x509 --write` of one identity; the directory with its files."""
        target = node.dir / (directory or name)
        done = node.cli('fetch', 'x509', '--spiffe-id', f'spiffe://example.org/{name}', '--write', target)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr + node.log_text())
        return target

    def verify(self, svid, lists):
        """OpenSSL on the leaf and chain in `svid`, with the bundle and the lists in another such directory."""
        return openssl('verify', '-x509_strict', '-crl_check_all', '-CAfile', lists / 'bundle.pem', '-CRLfile',
                       lists / 'crl.pem', '-untrusted', svid / 'svid.pem', svid / 'svid.pem')

    def accepts(self, svid, lists):
        verdict = self.verify(svid, lists)
        self.assertEqual(verdict.returncode, 0, verdict.stdout + verdict.stderr)

    def refuses(self, svid, lists, why='error 23 at 0 depth lookup: certificate revoked'):
        verdict = self.verify(svid, lists)
        self.assertNotEqual(verdict.returncode, 0, verdict.stdout)
        self.assertIn(why, verdict.stdout + verdict.stderr)

    def revoke_in_store(self, node, name):
        """Every certificate of an identity, while the agent is down."""
        with sqlite3.connect(node.data / 'state.db') as state:
            done = state.execute('INSERT INTO revoked (authority, serial, not_after, revoked_at) '
                                 'SELECT authority, serial, not_after, ? FROM issued WHERE spiffe_id = ?',
                                 (int(time.time()), f'spiffe://example.org/{name}'))
            self.assertEqual(done.rowcount, 1)
        state.close()

    def revokes_one_of_two(self, node):
        """Both certificates are accepted, one is revoked in the store, and then that one alone is not."""
        good, bad = (self.write(node, name) for name in NAMES)
        self.accepts(good, good)
        self.accepts(bad, bad)
        self.assertEqual(node.stop(), 0)
        self.revoke_in_store(node, 'bad')
        node.start()
        newest = self.write(node, 'good', 'newest')
        self.refuses(bad, newest)
        self.accepts(good, newest)
        self.accepts(newest, newest)
        self.accepts(self.write(node, 'bad', 'another'), newest)  # it was that certificate, not the identity


class DeliveredCrlTest(RevocationTest):
    def test_openssl_refuses_exactly_the_certificate_that_was_revoked(self):
        self.revokes_one_of_two(self.started_node(self.entries()))

    def test_lists_cover_both_roots_during_a_rotation_and_come_in_one_message_with_the_bundle(self):
        node = self.started_node(self.entries())
        before = self.write(node, 'good', 'before')
        watch = node.start_cli('watch', 'x509', '--output', 'json')
        bundles = node.start_cli('watch', 'bundle', '--output', 'json')
        self.assertEqual(len(watch.json()['crl']), 1)
        self.assertEqual(len(bundles.json()['crl']), 1)
        done = node.cli('ca', 'rotate')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        for stream in (watch, bundles):
            update = stream.json()
            self.assertTrue(update['crl_changed'], update)
            self.assertEqual(len(update['crl']), 2, update)
        after = self.write(node, 'good', 'after')
        self.accepts(before, after)
        self.accepts(after, after)

    def test_every_start_signs_a_list_with_a_higher_number_also_after_a_kill(self):
        node = self.node(self.entries())
        numbers = []
        for _ in range(4):
            node.start()
            numbers.append(int(node.fetch()['crl'][0]['number'], 16))
            node.kill()
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_fetch_bundle_writes_the_lists_too(self):
        node = self.started_node(self.entries())
        svid = self.write(node, 'good')
        done = node.cli('fetch', 'bundle', '--write', node.dir / 'trust')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        self.accepts(svid, node.dir / 'trust')


class DeliveredUnderGivenIssuerTest(RevocationTest):
    """The same with an intermediate that openssl has certified, and the list of the root above it."""

    def given(self):
        node = self.node(self.entries())
        upstream = OpensslAuthority(node.dir / 'upstream')
        upstream.certify('root')
        upstream.certify('issuer', 'root')
        upstream.list_revoked('root')
        names = {'issuer_cert': 'issuer.crt', 'issuer_key': 'issuer.key', 'upstream_roots': 'root.crt',
                 'issuer_root_crl': 'root.crl'}
        ca = {key: str(upstream.dir / name) for key, name in names.items()}
        node.write_config(more=[('identity_source', {'embedded_ca': ca})])
        return node.start(), upstream

    def test_openssl_refuses_exactly_the_certificate_that_was_revoked(self):
        node, _ = self.given()
        self.revokes_one_of_two(node)

    def test_a_new_list_of_the_root_reaches_open_streams_and_ends_the_intermediate(self):
        node, upstream = self.given()
        svid = self.write(node, 'good')
        self.accepts(svid, svid)
        watch = node.start_cli('watch', 'x509', '--output', 'json')
        self.assertEqual([one['revoked'] for one in watch.json()['crl']], [[], []])
        upstream.list_revoked('root', [upstream.serial_of('issuer')])
        update = watch.json(15)
        self.assertTrue(update['crl_changed'], update)
        self.assertEqual([one['revoked'] for one in update['crl']], [[], [upstream.serial_of('issuer').lower()]])
        self.refuses(svid, self.write(node, 'good', 'newest'), 'error 23 at 1 depth lookup: certificate revoked')
