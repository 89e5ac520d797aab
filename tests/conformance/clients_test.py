"""Other people's SPIFFE clients, as they come, against the real binary: go-spiffe 2.9.0 and Python's spiffe 0.3.2."""

import json
import os
import pathlib
import time

from cgroups import Cgroups
from node import EXIT_OK, OTHER_UID, UID, NodeTest, entry, is_root, needs_root, shared_file
from peers import PEERS

GO = [PEERS / 'bin/go-spiffe-peer']
PYTHON = [PEERS / 'python/bin/python', shared_file(pathlib.Path(__file__).with_name('python') / 'peer.py')]
ME = os.geteuid()


class ClientTest(NodeTest):
    """What every client must be able to do; subclasses say which client."""

    client = None

    def setUp(self):
        if not PEERS.joinpath('go-spiffe-peer.stamp').exists() or not PEERS.joinpath('python.stamp').exists():
            self.skipTest('the clients are not there; tests/peers.sh makes them')

    def peer(self, node, *arguments, client=None, **how):
        """Runs a client to its end; the JSON object that it printed last."""
        done = node.run([*(client or self.client), *arguments], seconds=60, **how)
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr + node.log_text())
        return json.loads(done.stdout.splitlines()[-1])

    def fetches(self):
        node = self.started_node([entry('/first', f'unix:uid:{ME}'), entry('/second', f'unix:uid:{ME}')])
        context = self.peer(node, 'fetch')
        self.assertEqual([svid['id'] for svid in context['svids']],
                         ['spiffe://example.org/first', 'spiffe://example.org/second'])
        self.assertEqual(context['bundles'], {'example.org': 1})
        return context

    def fetches_bundles(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}')])
        self.assertEqual(self.peer(node, 'bundles')['bundles'], {'example.org': 1})

    def streams_through_three_rotations(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}')], x509_ttl='6s')
        watch = node.start_lines([*self.client, 'watch', '--updates', '4'])
        updates = [watch.json(20) for _ in range(4)]
        self.assertEqual({update['svids'][0]['id'] for update in updates}, {'spiffe://example.org/me'})
        self.assertEqual(len({update['svids'][0]['serial'] for update in updates}), 4)
        expiries = [update['svids'][0]['not_after'] for update in updates]
        self.assertEqual(expiries, sorted(expiries))
        self.assertEqual(watch.wait(), EXIT_OK)

    def sees_both_authorities_after_a_rotation(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}')])
        watch = node.start_lines([*self.client, 'watch', '--updates', '2'])
        self.assertEqual(watch.json()['bundles'], {'example.org': 1})
        self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        self.assertEqual(watch.json()['bundles'], {'example.org': 2})

    def gets_over_a_restart_of_the_agent(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}')])
        watch = node.start_lines([*self.client, 'watch', '--updates', '2'])
        watch.json()
        node.stop()
        node.start()
        again = watch.json(30)
        while 'error' in again:  # go-spiffe reports that the stream broke, then comes back
            again = watch.json(30)
        self.assertEqual(again['svids'][0]['id'], 'spiffe://example.org/me')


class GoSpiffeTest(ClientTest):
    client = GO

    def test_a_thousand_go_spiffe_sources_come_back_by_themselves_after_a_restart(self):
        node = self.node([entry('/me', f'unix:uid:{ME}')], config=[('limits', {'per_caller': {'connections': 1200}})])
        node.start()
        many = node.start_lines([*GO, 'many', '--count', '1000'])
        self.assertEqual(many.json(60), {'sources': 1000})
        node.stop()
        node.start()
        begin = time.monotonic()
        self.assertEqual(many.json(60), {'back': 1000})
        print(f'all were back {time.monotonic() - begin:.1f} s after the agent served again')
        self.assertEqual(many.wait(), EXIT_OK)

    def test_go_spiffe_fetches_all_identities_in_order_with_their_bundle(self):
        context = self.fetches()
        self.assertTrue(all(svid['verified'] for svid in context['svids']), context)

    def test_go_spiffe_reads_hints(self):
        node = self.started_node([entry('/me', f'unix:uid:{ME}', hint='internal'), entry('/me-too', f'unix:uid:{ME}')])
        self.assertEqual([svid['hint'] for svid in self.peer(node, 'fetch')['svids']], ['internal', ''])

    def test_go_spiffe_fetches_bundles(self):
        self.fetches_bundles()

    def test_go_spiffe_streams_through_three_rotations(self):
        self.streams_through_three_rotations()

    def test_go_spiffe_sees_both_authorities_after_a_rotation(self):
        self.sees_both_authorities_after_a_rotation()

    def test_go_spiffe_gets_over_a_restart_of_the_agent(self):
        self.gets_over_a_restart_of_the_agent()

    def test_go_spiffe_is_told_permission_denied_when_there_is_no_identity(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        done = node.run([*GO, 'fetch'])
        self.assertEqual(json.loads(done.stdout)['code'], 'PermissionDenied')

    def test_go_spiffe_gets_an_identity_as_soon_as_it_is_registered(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        watch = node.start_lines([*GO, 'watch', '--updates', '1'])
        self.assertEqual(watch.json()['code'], 'PermissionDenied')
        node.register([entry('/me', f'unix:uid:{ME}')])
        update = watch.json(30)
        while 'error' in update:
            update = watch.json(30)
        self.assertEqual(update['svids'][0]['id'], 'spiffe://example.org/me')


class PythonSpiffeTest(ClientTest):
    client = PYTHON

    def test_python_spiffe_fetches_all_identities_in_order_with_their_bundle(self):
        self.fetches()

    def test_python_spiffe_fetches_bundles(self):
        self.fetches_bundles()

    def test_python_spiffe_streams_through_three_rotations(self):
        self.streams_through_three_rotations()

    def test_python_spiffe_sees_both_authorities_after_a_rotation(self):
        self.sees_both_authorities_after_a_rotation()

    def test_python_spiffe_gets_over_a_restart_of_the_agent(self):
        self.gets_over_a_restart_of_the_agent()

    def test_python_spiffe_is_told_permission_denied_when_there_is_no_identity(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        done = node.run([*PYTHON, 'fetch'])
        self.assertIn('PERMISSION_DENIED', json.loads(done.stdout)['error'])

    @needs_root('programs are moved into cgroups and run under another user')
    def test_two_python_programs_of_one_uid_in_two_cgroups_get_two_identities(self):
        cgroups = Cgroups(self)
        agent, tool = cgroups.make('agent'), cgroups.make('tool')
        node = self.started_node([
            entry('/agent', f'unix:uid:{UID}', cgroups.selector(agent)),
            entry('/tool', f'unix:uid:{UID}', cgroups.selector(tool))])
        for cgroup, name in [(agent, 'agent'), (tool, 'tool')]:
            context = self.peer(node, 'fetch', uid=UID, cgroup=cgroup)
            self.assertEqual([svid['id'] for svid in context['svids']], [f'spiffe://example.org/{name}'])
        done = node.run([*PYTHON, 'fetch'], uid=UID)
        self.assertIn('PERMISSION_DENIED', json.loads(done.stdout)['error'])


class MutualTlsTest(ClientTest):
    """mTLS between a Go and a Python program; as root under two uids with two identities, else with one for both."""

    def setUp(self):
        super().setUp()
        self.server_uid, self.client_uid = (UID, OTHER_UID) if is_root() else (None, None)
        if is_root():
            self.node_under_test = self.started_node([entry('/server', f'unix:uid:{UID}'), entry('/client', f'unix:uid:{OTHER_UID}')])
            self.server_id, self.client_id = 'spiffe://example.org/server', 'spiffe://example.org/client'
        else:
            self.node_under_test = self.started_node([entry('/both', f'unix:uid:{ME}')])
            self.server_id = self.client_id = 'spiffe://example.org/both'

    def serve(self, server, lets_in):
        program = self.node_under_test.start_lines([*server, 'serve', '--peer', lets_in], uid=self.server_uid)
        return program, program.json(30)['listening']

    def talk(self, server, client):
        program, address = self.serve(server, self.client_id)
        reply = self.peer(self.node_under_test, 'call', '--connect', address, '--peer', self.server_id, client=client,
                          uid=self.client_uid)
        self.assertEqual(reply, {'peer': self.server_id, 'reply': f'hello {self.client_id}\n'})
        served = program.json(30)
        self.assertEqual(served['peer'], self.client_id)

    def refuses(self, server, client, lets_in, expects):
        program, address = self.serve(server, lets_in)
        done = self.node_under_test.run([*client, 'call', '--connect', address, '--peer', expects], uid=self.client_uid, seconds=60)
        self.assertNotEqual(done.returncode, EXIT_OK, done.stdout)
        self.assertNotIn('reply', done.stdout)
        self.assertIn('refused', program.json(30))

    def test_a_go_server_and_a_python_client_know_each_other(self):
        self.talk(GO, PYTHON)

    def test_a_python_server_and_a_go_client_know_each_other(self):
        self.talk(PYTHON, GO)

    def test_a_go_server_refuses_a_python_client_with_another_identity(self):
        self.refuses(GO, PYTHON, 'spiffe://example.org/somebody-else', self.server_id)

    def test_a_python_server_refuses_a_go_client_with_another_identity(self):
        self.refuses(PYTHON, GO, 'spiffe://example.org/somebody-else', self.server_id)

    def test_a_go_client_refuses_a_python_server_with_another_identity(self):
        self.refuses(PYTHON, GO, self.client_id, 'spiffe://example.org/somebody-else')

    def test_a_python_client_refuses_a_go_server_with_another_identity(self):
        self.refuses(GO, PYTHON, self.client_id, 'spiffe://example.org/somebody-else')
