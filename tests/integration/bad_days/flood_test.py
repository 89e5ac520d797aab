"""One user floods the socket with connections that are no calls. Others keep their answers, and nothing is left behind."""

import os

from node import UID, NodeTest, entry, eventually, needs_root
from programs import flood_program, stream_program

ME = f'unix:uid:{os.geteuid()}'
CONNECTIONS, AT_ONCE = 10_000, 1000  # at once: limits.connections_per_uid
FLOOR_MS = 5  # of the honest latency that counts: below it the machine's own noise is larger


class FloodTest(NodeTest):
    def honest(self, node, seconds):
        return node.start_lines([*stream_program(node), 'fetches', node.socket, seconds])

    @needs_root('the flood comes from another user, and /proc/PID/fd is read')
    def test_ten_thousand_garbage_connections_of_one_user_cost_others_little_and_leave_nothing_behind(self):
        node = self.started_node([entry('/me', ME)])
        idle = self.honest(node, 3).json(30)
        self.assertEqual(idle['failed'], 0, idle)
        files, memory = self.open_files(node), node.resident_bytes()

        attacker = node.start_lines([*flood_program(node), node.socket, CONNECTIONS, AT_ONCE], uid=UID)
        flooded, rounds = [], 0
        while not attacker.has_line() or not flooded:
            flooded.append(self.honest(node, 0.5).json(30))
            rounds += 1
            self.assertLess(rounds, 60, 'the flood does not end')
        flood = attacker.json()
        self.assertEqual(flood['connections'], CONNECTIONS)
        peak = node.resident_bytes()
        for one in flooded:
            self.assertEqual(one['failed'], 0, one)
        worst = max(one['p99_ms'] for one in flooded)
        print(f'flood: {flood}\nhonest p99: {idle["p99_ms"]:.2f} ms idle, {worst:.2f} ms under flood (p50 '
              f'{idle["p50_ms"]:.2f} and {max(one["p50_ms"] for one in flooded):.2f} ms); '
              f'{sum(one["fetched"] for one in flooded)} fetches under flood, none failed')
        # "Others keep their latency" means within twice the idle figure; ten times that is no matter of a busy machine.
        self.assertLess(worst, 10 * 2 * max(idle['p99_ms'], FLOOR_MS))

        eventually(lambda: self.open_files(node) <= files + 20, 30, 'that descriptors are closed')
        eventually(lambda: node.resident_bytes() < memory + (40 << 20), 30, 'that memory is given back')
        print(f'descriptors: {files} before, {self.open_files(node)} after; resident: {memory >> 10} KiB before, '
              f'{peak >> 10} right after, {node.resident_bytes() >> 10} at last')
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])

    @staticmethod
    def open_files(node):
        return len(os.listdir(f'/proc/{node.process.pid}/fd'))
