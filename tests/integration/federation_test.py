"""Foreign trust domains from bundle documents on disk: who is handed them, when they change, and what a broken one does."""

import json
import os

from audit_view import AuditView
from node import EXIT_FAILED, EXIT_OK, UID, NodeTest, entry, eventually, needs_root
from partner import Partner, openssl, put
from web import endpoints_of

ME = f'unix:uid:{os.geteuid()}'
PARTNER = 'spiffe://partner.example'
FEDERATING = entry('/me', ME, federates_with=[PARTNER])


class FederationTest(NodeTest):
    def with_partner(self, entries=None, document=('one',), **more):
        """A node that is not started, and the partner whose bundle it reads; `document` None: there is no file."""
        node = self.node(entries or [FEDERATING])
        partner = Partner(node.dir / 'partner')
        node.bundle_file = node.dir / 'partner.json'
        if document is not None:
            put(node.bundle_file, partner.document(*document))
        node.settings = {'federation': {'trust_domains': {'partner.example': {'bundle_path': str(node.bundle_file)}}}, **more}
        node.write_config(more=node.settings)
        return node, partner

    def started(self, *arguments, **options):
        node, partner = self.with_partner(*arguments, **options)
        return node.start(), partner

    def findings(self, node):
        findings = json.loads(node.cli('health', '--output', 'json').stdout)['findings']
        return [finding for finding in findings if finding['component'] == 'federation']

    def bundles(self, node, **how):
        done = node.cli('fetch', 'bundle', '--output', 'json', **how)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        return json.loads(done.stdout)

    def test_a_member_of_the_partner_is_believed_by_what_the_agent_hands_out(self):
        node, partner = self.started()
        folder = node.dir / 'folder'
        self.assertEqual(node.cli('fetch', 'x509', '--write', folder).returncode, EXIT_OK)
        member = partner.member('/billing', 'one')
        self.assertIn('OK', openssl('verify', '-CAfile', folder / 'partner.example.spiffe-trust-bundle.pem', member))
        self.assertIn('OK', openssl('verify', '-CAfile', folder / 'example.org.spiffe-trust-bundle.pem', folder / 'svid.pem'))
        with self.assertRaises(AssertionError):
            openssl('verify', '-CAfile', folder / 'bundle.pem', member)

    @needs_root('calls as another user')
    def test_only_entries_that_federate_are_handed_the_foreign_bundle(self):
        node, _ = self.started([FEDERATING, entry('/other', f'unix:uid:{UID}')])
        self.assertEqual(list(node.fetch()['federated_bundles']), [PARTNER])
        self.assertEqual(set(self.bundles(node)), {'spiffe://example.org', PARTNER})
        self.assertEqual(node.fetch(uid=UID)['federated_bundles'], {})
        self.assertEqual(set(self.bundles(node, uid=UID)), {'spiffe://example.org'})

    def test_another_file_reaches_open_streams_and_leaves_the_svid_alone(self):
        node, partner = self.started()
        svids = node.start_cli('watch', 'x509', '--output', 'json')
        bundles = node.start_cli('watch', 'bundle', '--output', 'json')
        first = svids.json()
        self.assertEqual(first['federated'], [PARTNER])

        def authorities(update):
            return {bundle['trust_domain']: bundle['authorities'] for bundle in update['bundles']}
        before = authorities(bundles.json())
        put(node.bundle_file, partner.document('one', 'two'))
        after = authorities(bundles.json())
        self.assertEqual(after['spiffe://example.org'], before['spiffe://example.org'])
        self.assertEqual(after[PARTNER][:1], before[PARTNER])
        self.assertEqual(len(after[PARTNER]), 2)
        self.assertEqual(svids.json()['svids'], first['svids'])

    def test_a_bundle_that_is_empty_takes_the_trust_domain_off_the_streams(self):
        node, partner = self.started()
        watch = node.start_cli('watch', 'x509', '--output', 'json')
        self.assertEqual(watch.json()['federated'], [PARTNER])
        put(node.bundle_file, partner.document())
        self.assertEqual(watch.json()['federated'], [])
        self.assertEqual(self.findings(node), [])
        put(node.bundle_file, partner.document('two'))
        self.assertEqual(watch.json()['federated'], [PARTNER])

    def test_a_broken_file_changes_nothing_and_is_told_until_it_is_repaired(self):
        node, partner = self.started(endpoints={'metrics': '127.0.0.1:0', 'health': '127.0.0.1:0'})
        metrics = endpoints_of(node)['metrics']
        for broken in ('garbage', '', partner.document('one')[:-20], '{"keys": null}'):
            put(node.bundle_file, broken)
            [finding] = eventually(lambda: self.findings(node), 10, 'a finding')
            self.assertIn(str(node.bundle_file), finding['text'])
            self.assertIn('last good one', finding['text'])
            self.assertEqual(list(node.fetch()['federated_bundles']), [PARTNER])
            self.assertEqual(metrics.metrics().value('lanyard_federation_trust_domains', state='stale'), 1)
            put(node.bundle_file, partner.document('one'))
            eventually(lambda: not self.findings(node), 10, 'no finding')
        node.bundle_file.unlink()
        [finding] = eventually(lambda: self.findings(node), 10, 'a finding')
        self.assertEqual(list(node.fetch()['federated_bundles']), [PARTNER])
        self.assertIn(f'federation: read the bundle of partner.example from {node.bundle_file}', node.log_text())

    def test_without_its_file_the_agent_serves_itself_and_takes_the_file_when_it_comes(self):
        node, partner = self.started(document=None)
        self.assertEqual(node.fetch()['federated_bundles'], {})
        [finding] = self.findings(node)
        self.assertIn('nothing of this trust domain is believed', finding['text'])
        self.assertEqual(node.cli('health').returncode, EXIT_FAILED)
        watch = node.start_cli('watch', 'x509', '--output', 'json')
        watch.json()
        put(node.bundle_file, partner.document('one'))
        self.assertEqual(watch.json()['federated'], [PARTNER])
        self.assertEqual(self.findings(node), [])

    def test_the_files_of_a_config_map_are_followed(self):
        node, partner = self.with_partner(document=None)
        volume = node.dir / 'volume'
        for name in ('one', 'two'):
            (volume / f'..{name}').mkdir(parents=True)
            put(volume / f'..{name}/bundle.json', partner.document(name))
        (volume / '..data').symlink_to('..one')
        (volume / 'bundle.json').symlink_to('..data/bundle.json')
        node.bundle_file.symlink_to(volume / 'bundle.json')
        node.start()
        self.assertEqual(node.fetch()['federated_bundles'], {PARTNER: partner.authority('one')})
        (volume / '..data_tmp').symlink_to('..two')
        (volume / '..data_tmp').replace(volume / '..data')
        eventually(lambda: node.fetch()['federated_bundles'] == {PARTNER: partner.authority('two')}, 10, 'the new bundle')

    def test_a_file_that_others_may_write_is_not_believed(self):
        node, partner = self.with_partner()
        node.bundle_file.chmod(0o666)
        node.start()
        self.assertEqual(node.fetch()['federated_bundles'], {})
        self.assertIn('can be changed by other users', self.findings(node)[0]['text'])
        put(node.bundle_file, partner.document('one'))
        eventually(lambda: node.fetch()['federated_bundles'], 10, 'the bundle')

    def test_a_reload_begins_and_ends_the_relationship(self):
        node, partner = self.with_partner()
        node.write_config()
        node.start()
        log = AuditView(node)
        watch = node.start_cli('watch', 'x509', '--output', 'json')
        self.assertEqual(watch.json()['federated'], [])
        self.assertIn('federates with partner.example, of which federation.trust_domains names no bundle', node.log_text())
        node.write_config(more=node.settings)
        node.hang_up()
        self.assertEqual(watch.json()['federated'], [PARTNER])
        node.write_config()
        node.hang_up()
        self.assertEqual(watch.json()['federated'], [])
        self.assertEqual([(line['action'], line['resource']) for line in log.lines(kind='federation')],
                         [('load', PARTNER), ('remove', PARTNER)])
        self.assertEqual(len(log.lines(kind='federation')[0]['policy']['revision']), 64)

    def test_config_check_tells_what_does_not_agree(self):
        node, _ = self.with_partner([entry('/me', ME, federates_with=[PARTNER, 'spiffe://stranger.example'])], document=None)
        checked = node.cli('config', 'check', node.config)
        self.assertEqual(checked.returncode, EXIT_OK)
        self.assertIn('federates with stranger.example, of which federation.trust_domains names no bundle', checked.stderr)
        self.assertIn(f'read the bundle of partner.example from {node.bundle_file}', checked.stderr)
        node.config.write_text('trust_domain: example.org\nfederation:\n  trust_domains:\n'
                               '    example.org: {bundle_path: /x}\n    Bad: {url: "https://x"}\n', encoding='ascii')
        checked = node.cli('config', 'check', node.config)
        self.assertEqual(checked.returncode, EXIT_FAILED)
        for position in (':4:5: ', ':5:5: ', ':5:11: '):
            self.assertIn(f'{node.config}{position}', checked.stderr)
