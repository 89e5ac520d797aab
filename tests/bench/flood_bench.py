"""What a user who floods the socket does to another one."""

from contenders import Bench, Ours, mine
from fetch_bench import percentile
from node import UID, is_root
from programs import flood_program


class FloodBench(Bench):
    def test_flood(self):
        if not is_root():
            self.skipTest('needs root: the flood comes from another user')
        for _ in range(self.rounds):
            ours, other = (Ours(self, [mine()]).start() for _ in range(2))
            for one in (ours, other):
                one.serves()
            before = ours.load('fetch', 1, 1)
            self.add('flood.before', 'ours', percentile(before['micros'], 99) / 1000)
            failed = 0
            for row, flooded in (('flood.during', ours), ('flood.beside', other)):  # beside: what the load on the processors alone does
                attacker = ours.node.start_lines([*flood_program(flooded.node), flooded.socket, 20_000, 1000], uid=UID)
                micros = []
                while not attacker.has_line():
                    seen = ours.load('fetch', 1, 1)
                    micros += seen['micros']
                    failed += seen['failed']
                self.add(row, 'ours', percentile(sorted(micros), 99) / 1000)
            self.add('flood.failed', 'ours', failed)
            for one in (ours, other):
                one.stop()
