"""The wall clock is set while the agent runs, and while it does not. What it serves is valid by the clock of the moment."""

import base64
import os
import pathlib
import subprocess
import tempfile
import time

from faketime import HOUR, WallClock
from node import EXIT_OK, NodeTest, entry, eventually
from programs import stream_program
from process import scaled
from svid_stream import der_items

ME = f'unix:uid:{os.geteuid()}'
JUMP = 48 * HOUR


class ClockTest(NodeTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.scratch = pathlib.Path(directory.name)

    def clocked_node(self, ca_ttl='720h'):
        node = self.node([entry('/me', ME)], config=[('identity_source', {'embedded_ca': {'ca_ttl': ca_ttl}})])
        return node, WallClock(node)

    def follow(self, node):
        return node.start_lines([*stream_program(node), 'follow', node.socket])

    def next_svid(self, stream, clock, set_at=0):
        """The SVID of the next message; it is valid when it comes, and verifies."""
        message = stream.json(10)
        while message['at'] < set_at + 0.2 and not self.fits(message, clock):
            message = stream.json(10)  # that one was on its way when the clock was set
        self.assertTrue(self.fits(message, clock), message)
        [svid] = message['svids']
        self.verifies(svid, svid['bundle'], clock.now())
        return svid

    @staticmethod
    def fits(message, clock):
        return all(svid['not_before'] <= message['at'] + clock.offset < svid['not_after'] for svid in message['svids'])

    def after_the_jump(self, stream, clock, offset):
        """Moves the clock; the SVID that the open stream gets for it, within seconds."""
        clock.move_to(offset)
        set_at = time.time()
        svid = self.next_svid(stream, clock, set_at)
        seconds = time.time() - set_at
        self.assertLess(seconds, scaled(3))
        print(f'valid by the new clock after {seconds:.2f} s')
        return svid

    def verifies(self, svid, bundle, at):
        """By another program: `openssl verify -attime AT -CAfile BUNDLE LEAF`."""
        roots, leaf = self.scratch / 'bundle.pem', self.scratch / 'leaf.pem'
        roots.write_text(''.join(pem(whole) for _, _, whole in der_items(base64.b64decode(bundle))), encoding='ascii')
        leaf.write_text(pem(next(der_items(base64.b64decode(svid['chain'])))[2]), encoding='ascii')
        done = subprocess.run(['openssl', 'verify', '-attime', str(int(at)), '-CAfile', roots, leaf], capture_output=True,
                              text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def is_well(self, node, clock):
        """New callers are served, by a command line that checks everything by the same clock, and health is green."""
        done = node.run(clock.by_it(node.binary, 'fetch', 'x509'))
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr + node.log_text())
        eventually(lambda: node.run(clock.by_it(node.binary, 'health')).returncode == EXIT_OK, 10, 'good health')

    def jumps_while_streams_are_open(self, offset, ca_ttl):
        node, clock = self.clocked_node(ca_ttl)
        node.start()
        stream = self.follow(node)
        before = self.next_svid(stream, clock)
        self.after_the_jump(stream, clock, offset)
        self.is_well(node, clock)
        self.assertIn('wall clock', node.log_text())
        back = self.after_the_jump(stream, clock, 0)
        self.is_well(node, clock)
        self.verifies(before, back['bundle'], clock.now())  # a peer may still show it
        self.assertLessEqual(len(list(der_items(base64.b64decode(back['bundle'])))), 3)

    def jumps_over_a_restart(self, offset, ca_ttl):
        node, clock = self.clocked_node(ca_ttl)
        node.start()
        before = self.next_svid(self.follow(node), clock)
        for place in (offset, 0):
            node.stop()
            clock.move_to(place)
            node.start()
            svid = self.next_svid(self.follow(node), clock)
            self.is_well(node, clock)
        self.verifies(before, svid['bundle'], clock.now())

    def test_two_days_ahead_and_back_open_streams_have_valid_svids_within_seconds(self):
        self.jumps_while_streams_are_open(JUMP, '720h')

    def test_two_days_back_and_forth_open_streams_have_valid_svids_within_seconds(self):
        self.jumps_while_streams_are_open(-JUMP, '720h')

    def test_ahead_past_the_end_of_the_root_and_back_open_streams_have_valid_svids_within_seconds(self):
        self.jumps_while_streams_are_open(JUMP, '24h')

    def test_ahead_over_a_restart_and_back_over_another_svids_are_valid(self):
        self.jumps_over_a_restart(JUMP, '24h')

    def test_back_over_a_restart_and_forth_over_another_svids_are_valid(self):
        self.jumps_over_a_restart(-JUMP, '720h')

    def test_a_flapping_clock_heaps_up_no_roots(self):
        node, clock = self.clocked_node('24h')
        node.start()
        stream = self.follow(node)
        self.next_svid(stream, clock)
        for offset in (JUMP, 0, -JUMP, 0, JUMP, 0):
            svid = self.after_the_jump(stream, clock, offset)
        self.assertLessEqual(len(list(der_items(base64.b64decode(svid['bundle'])))), 4)
        self.is_well(node, clock)


def pem(der):
    return f'-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n'
