"""The agent is replaced under a thousand open streams. Every client comes back with a valid identity, by itself."""

import os
import socket
import subprocess
import sys
import textwrap

from node import EXIT_OK, NodeTest, entry, eventually
from process import scaled
from programs import stream_program

ME = f'unix:uid:{os.geteuid()}'
STREAMS = 1000
PERMISSION_DENIED = '7'

# What systemd does for a socket unit: the parent listens, and the service finds the socket at descriptor 3.
ACTIVATOR = textwrap.dedent('''
    import os, sys
    os.dup2(int(sys.argv[1]), 3, inheritable=True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='workload')
    os.execv(sys.argv[2], sys.argv[2:])
''')


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
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)

        def inherit(node):
            node.socket.parent.mkdir(mode=0o755)
            listening.bind(str(node.socket))
            node.socket.chmod(0o777)
            listening.listen(4096)
            node.launch = lambda: self.launch(node, listening)
        node, crowd = self.crowded_node(inherit)
        back = self.all_come_back(node, crowd)
        self.assertEqual(back['refused'], 0)
        self.assertTrue(node.socket.exists(), 'the agent removed a socket that is not its own')

    @staticmethod
    def launch(node, listening):
        with open(node.log, 'ab') as log:
            node.process = subprocess.Popen(
                [sys.executable, '-c', ACTIVATOR, str(listening.fileno()), node.binary, 'agent', '--config', node.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, 'NOTIFY_SOCKET': ''}, cwd='/',
                pass_fds=[listening.fileno()])
        return node
