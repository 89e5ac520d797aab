"""The agent is replaced under a thousand open streams. Every client comes back with a valid identity, by itself."""

import os

from node import EXIT_OK, NodeTest, entry
from process import scaled
from programs import stream_program
from service_manager import launch_with, listening

ME = f'unix:uid:{os.geteuid()}'
STREAMS = 1000
PERMISSION_DENIED = '7'


class RestartTest(NodeTest):
    def crowded_node(self, prepare=lambda node: None):
        """A started node under a thousand streams, and the program that has them."""
        node = self.node([entry('/me', ME)], config=[('limits', {'per_caller': {
            # All of them are one caller, and come back at once.
            'connections': STREAMS + 200, 'calls_in_flight': STREAMS + 200, 'connections_per_second': 10000,
            'calls_per_second': 10000}})])
        prepare(node)
        node.start()
        crowd = node.start_lines([*stream_program(node), 'many', node.socket, STREAMS])
        first = crowd.json(60)
        print(f'{STREAMS} streams after {first["all_after_s"]:.2f} s, {node.resident_bytes() >> 10} KiB resident')
        return node, crowd

    def all_come_back(self, node, crowd):
        node.stop()
        node.start()
        back = crowd.json(60)
        print(f'{back["cut_off"]} streams were cut off; the first SVID came {back["first_after_s"]:.3f} s later, all were back '
              f'after {back["all_after_s"]:.2f} s; connects refused meanwhile: {back["refused"]}; statuses: {back["statuses"]}')
        self.assertEqual(back['cut_off'], STREAMS)
        self.assertEqual(back['invalid'], 0)
        self.assertNotIn(PERMISSION_DENIED, back['statuses'])
        self.assertLess(back['all_after_s'], scaled(15))
        done = node.cli('fetch', 'x509')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        return back

    def test_a_thousand_streams_are_back_with_valid_identities_after_a_restart(self):
        node, crowd = self.crowded_node()
        self.all_come_back(node, crowd)

    def test_with_an_inherited_socket_no_connect_is_refused_during_a_restart(self):
        def inherit(node):
            workload = listening(self, node.socket)
            workload.listen(4096)  # all come back at once
            node.launch = lambda: launch_with(node, workload=workload)
        node, crowd = self.crowded_node(inherit)
        back = self.all_come_back(node, crowd)
        self.assertEqual(back['refused'], 0)
        self.assertTrue(node.socket.exists(), 'the agent removed a socket that is not its own')
