"""One user floods the socket with connections that are no calls. Others keep their answers, and nothing is left behind."""

import os

from node import UID, NodeTest, entry, eventually, needs_root
from process import sanitized
from programs import flood_program, stream_program
from svid_stream import percentile

ME = f'unix:uid:{os.geteuid()}'
CONNECTIONS, AT_ONCE = 30_000, 1000  # at once: limits.per_caller.connections
FLOOR_MS = 5  # of the honest latency that counts: below it the machine's own noise is larger


class FloodTest(NodeTest):
    def honest(self, node, seconds):
        """The latencies of fetches one after the other, in milliseconds; none may fail."""
        done = node.start_lines([*stream_program(node), 'fetches', node.socket, seconds]).json(30)
        # An agent that is slow by its sanitizer does not accept as fast as a flood connects, and the listener's queue fills.
        if not sanitized():
            self.assertEqual(done['failed'], 0, done)
        return done['latencies_ms']

    @needs_root('the flood comes from another user, and /proc/PID/fd is read')
    def test_a_flood_of_garbage_connections_of_one_user_costs_others_little_and_leaves_nothing_behind(self):
        node = self.started_node([entry('/me', ME)])
        idle = self.honest(node, 3)
        files, memory = node.open_files(), node.resident_bytes()

        attacker = node.start_lines([*flood_program(node), node.socket, CONNECTIONS, AT_ONCE], uid=UID)
        flooded, rounds = [], 0
        while not attacker.has_line():
            flooded += self.honest(node, 0.5)
            rounds += 1
            self.assertLess(rounds, 60, 'the flood does not end')
        flood, peak = attacker.json(), node.resident_bytes()
        self.assertEqual(flood['connections'], CONNECTIONS)
        before, meanwhile = percentile(idle, 99), percentile(flooded, 99)
        print(f'flood: {flood}\nhonest p99 {before:.2f} ms idle, {meanwhile:.2f} ms under flood; p50 {percentile(idle, 50):.2f} and '
              f'{percentile(flooded, 50):.2f} ms; {len(flooded)} fetches under flood, none failed')
        # "Others keep their latency" means within twice the idle figure; ten times that is no matter of a busy machine.
        self.assertLess(meanwhile, 10 * 2 * max(before, FLOOR_MS))

        eventually(lambda: node.open_files() <= files + 20, 30, 'that descriptors are closed')
        if not sanitized():  # which keeps what was freed, and finds leaks by itself
            eventually(lambda: node.resident_bytes() < memory + (40 << 20), 30, 'that memory is given back')
        print(f'descriptors: {files} before, {node.open_files()} after; resident: {memory >> 10} KiB before, '
              f'{peak >> 10} right after, {node.resident_bytes() >> 10} at last')
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
