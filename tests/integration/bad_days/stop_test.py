"""The agent is stopped for longer than its SVIDs live, as when a machine sleeps or a hypervisor takes its time."""

import os
import signal
import time

from node import NodeTest, entry, eventually
from process import scaled
from programs import stream_program

ME = f'unix:uid:{os.geteuid()}'


class StopTest(NodeTest):
    def valid(self, message):
        """When it came; every SVID of it was valid then."""
        for svid in message['svids']:
            self.assertLessEqual(svid['not_before'], message['at'])
            self.assertLess(message['at'], svid['not_after'], 'an expired SVID was sent')
        self.assertTrue(message['svids'])
        return message['at']

    def test_after_a_stop_longer_than_an_svids_life_open_and_waiting_streams_get_valid_ones_at_once(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='5s')
        program = stream_program(node)
        open_streams = [node.start_lines([*program, 'follow', node.socket]) for _ in range(5)]
        latest = [stream.json() for stream in open_streams]
        for message in latest:
            self.valid(message)
        node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.wake, node)
        waiting = [node.start_lines([*program, 'follow', node.socket]) for _ in range(5)]
        for stream in open_streams:
            while stream.has_line():  # what was sent before the stop
                message = stream.json()
                self.valid(message)
                latest.append(message)
        end = max(svid['not_after'] for message in latest for svid in message['svids'])
        eventually(lambda: time.time() > end + 2, 10, 'that every SVID has expired')
        self.assertFalse(any(stream.has_line() for stream in [*open_streams, *waiting]))
        node.process.send_signal(signal.SIGCONT)
        woken = time.time()
        delays = [self.valid(stream.json()) - woken for stream in [*open_streams, *waiting]]
        print(f'valid SVIDs {max(delays[:5]):.3f} s after the stop on open streams, {max(delays[5:]):.3f} s on those that waited')
        self.assertLess(max(delays), scaled(3))
        self.assertTrue(node.fetch_ids())
        for stream in open_streams:  # and it goes on
            for _ in range(2):
                self.valid(stream.json())

    @staticmethod
    def wake(node):
        if node.process is not None and node.process.poll() is None:
            os.kill(node.process.pid, signal.SIGCONT)
