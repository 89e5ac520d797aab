"""Who gets which identity from the real binary, and how it arrives."""

import os
import pathlib
import re
import tempfile

from authority import openssl
from cgroups import Cgroups
from node import EXIT_DENIED, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE, OTHER_UID, UID, NodeTest, entry, needs_root

ME = f'unix:uid:{os.geteuid()}'
# CGROUP MOUNT-POINT COMMAND…: as a container engine starts an unprivileged container on cgroup v2, with the host's /sys/fs/cgroup
# left where it was.
IN_CGROUP_NAMESPACE = """echo $$ >"$1/cgroup.procs"
exec unshare --cgroup --mount --propagation private -- sh -c 'mount -t cgroup2 none "$1"; shift; exec "$@"' sh "$2" "${@:3}"
"""


class IssuingTest(NodeTest):
    def test_a_registered_process_gets_exactly_its_identity(self):
        node = self.started_node([entry('/me', ME), entry('/other', 'unix:uid:4242')])
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])

    def test_an_unregistered_process_is_denied_with_exit_code_4_and_told_why(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        self.assertIn('no registration entry matches', node.refused())

    @needs_root('programs run under other users')
    def test_uids_get_their_own_identities_and_nothing_else(self):
        node = self.started_node([entry('/one', f'unix:uid:{UID}'), entry('/two', f'unix:uid:{OTHER_UID}')])
        self.assertEqual(node.fetch_ids(uid=UID), ['spiffe://example.org/one'])
        self.assertEqual(node.fetch_ids(uid=OTHER_UID), ['spiffe://example.org/two'])
        node.refused()

    def test_all_selectors_of_an_entry_must_match(self):
        node = self.started_node([entry('/me', ME, 'unix:uid:4242')])
        node.refused()

    def test_several_identities_come_in_the_order_of_the_registry(self):
        node = self.started_node([entry('/b', ME), entry('/a', ME)])
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/b', 'spiffe://example.org/a'])

    @needs_root('programs are moved into cgroups and run under another user')
    def test_one_program_under_one_uid_has_a_different_identity_in_each_cgroup(self):
        cgroups = Cgroups(self)
        agent, tool = cgroups.make('agent'), cgroups.make('tool')
        node = self.started_node([
            entry('/agent', f'unix:uid:{UID}', cgroups.selector(agent)),
            entry('/tool', f'unix:uid:{UID}', cgroups.selector(tool))])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=agent), ['spiffe://example.org/agent'])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=tool), ['spiffe://example.org/tool'])
        node.refused(uid=UID)

    @needs_root('a cgroup namespace is made')
    def test_a_node_agent_in_a_cgroup_namespace_of_its_own_knows_callers_by_their_path_from_the_root(self):
        cgroups = Cgroups(self, version=2)
        own, sibling, cousin = cgroups.make('pods/one/lanyard'), cgroups.make('pods/two/agent'), cgroups.make('tool')
        (mounted := pathlib.Path(tempfile.mkdtemp(prefix='lanyard-test-'))).chmod(0o755)
        self.addCleanup(mounted.rmdir)
        node = self.started_node(
            [entry('/agent', f'unix:uid:{UID}', cgroups.selector(sibling)), entry('/tool', f'unix:uid:{UID}', cgroups.selector(cousin)),
             entry('/own', f'unix:uid:{UID}', cgroups.selector(own))],
            within=['bash', '-c', IN_CGROUP_NAMESPACE, 'bash', own, mounted])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=sibling), ['spiffe://example.org/agent'])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=cousin), ['spiffe://example.org/tool'])
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=own), ['spiffe://example.org/own'])
        # Who may write its cgroup is found out there as well.
        os.chown(sibling / 'cgroup.procs', UID, UID)
        node.refused(uid=UID, cgroup=sibling)

    def test_written_files_are_what_openssl_expects(self):
        node = self.started_node([entry('/me', ME)])
        target = node.dir / 'svid'
        done = node.cli('fetch', 'x509', '--write', target)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        self.assertEqual((target / 'svid.key').stat().st_mode & 0o777, 0o600)
        # -x509_strict: no leniency towards certificates that RFC 5280 forbids
        verified = openssl('verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', target / 'bundle.pem',
                           '-untrusted', target / 'svid.pem', target / 'svid.pem')
        self.assertEqual(verified.returncode, 0, verified.stdout + verified.stderr)
        names = openssl('x509', '-in', target / 'svid.pem', '-noout', '-ext', 'subjectAltName').stdout
        self.assertIn('URI:spiffe://example.org/me', names)
        public = openssl('x509', '-in', target / 'svid.pem', '-noout', '-pubkey').stdout
        self.assertEqual(openssl('pkey', '-in', target / 'svid.key', '-pubout').stdout, public)

    def test_two_fetches_in_a_row_get_the_same_svid(self):
        node = self.started_node([entry('/me', ME)])
        self.assertEqual(node.fetch()['svids'][0]['serial'], node.fetch()['svids'][0]['serial'])


class CommandLineTest(NodeTest):
    def test_without_an_agent_the_exit_code_is_3_and_the_socket_is_named(self):
        node = self.node([])
        for verb in [('fetch', 'x509'), ('watch', 'x509')]:
            done = node.cli(*verb)
            self.assertEqual(done.returncode, EXIT_UNREACHABLE, verb)
            self.assertIn(str(node.socket), done.stderr)
        done = node.cli('health')
        self.assertEqual(done.returncode, EXIT_UNREACHABLE)
        self.assertIn(str(node.admin_socket), done.stderr)

    def test_wrong_usage_is_exit_code_2(self):
        node = self.node([])
        for arguments in [(), ('no-such-verb',), ('fetch', 'x509', '--no-such-option')]:
            self.assertEqual(node.cli(*arguments).returncode, EXIT_USAGE, arguments)

    def test_every_verb_explains_itself(self):
        node = self.node([])
        verbs = [()]
        for verb in verbs:  # and those that its help names
            done = node.cli(*verb, '--help')
            self.assertEqual(done.returncode, EXIT_OK, verb)
            self.assertIn('--help', done.stdout, verb)
            verbs += [(*verb, name) for name in re.findall(r'(?m)^  (\S+)', done.stdout.partition('\nSubcommands:\n')[2])]
        self.assertLessEqual({('agent',), ('fetch', 'wit'), ('audit', 'tail')}, set(verbs))

    def test_denied_is_exit_code_4_and_prints_no_data(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        done = node.cli('fetch', 'x509', '--output', 'json')
        self.assertEqual((done.returncode, done.stdout), (EXIT_DENIED, ''))

    def test_an_address_that_is_not_a_unix_socket_is_refused_by_name(self):
        node = self.node([])
        done = node.cli('fetch', 'x509', '--socket', 'tcp://127.0.0.1:8081')
        self.assertEqual(done.returncode, EXIT_USAGE)
        self.assertIn('tcp://127.0.0.1:8081', done.stderr)
