"""What a user, a cgroup or an identity that floods the socket does to another caller, whose latency was measured just before."""

import time

from cgroups import Cgroups
from contenders import ME, Bench, Ours, mine
from node import UID, is_root
from programs import call_flood_program, flood_program
from svid_stream import percentile

CONNECTIONS = 20_000  # of the flood of garbage


class FloodBench(Bench):
    def test_flood(self):
        """Each flood is made twice: first of another agent, so that only the processors are shared (the limit), then of ours. The limits
        of one caller are those that a user gets, and the other caller keeps within them."""
        if not is_root():
            self.skipTest('needs root: the flood comes from another user, and cgroups are made')
        seconds = 3 if self.quick else 8
        cgroups = Cgroups(self)
        good, bad, *crowd = (cgroups.make(name) for name in ('good', 'bad', *(f'crowd-{number}' for number in range(4))))
        entries = [mine(), ('/user', [f'unix:uid:{UID}'], None), ('/bad', [ME, cgroups.selector(bad)], None),
                   *(('/crowd', [ME, cgroups.selector(one)], None) for one in crowd)]
        calls = [seconds, 20, 100]
        floods = {
            'flood.connections': [(flood_program, [CONNECTIONS, 1000], {'uid': UID})],
            'flood.user': [(call_flood_program, calls, {'uid': UID})],
            'flood.cgroup': [(call_flood_program, [*calls, 'jwt'], {'cgroup': bad})],
            'flood.identity': [(call_flood_program, [seconds, 5, 100, 'jwt'], {'cgroup': one}) for one in crowd],
        }
        for _ in range(self.rounds):
            for row, attackers in floods.items():
                ours, other = (Ours(self, entries, limited=True).start() for _ in range(2))
                for one in (ours, other):
                    one.serves()
                idle = self.p99(ours.load('paced', seconds, cgroup=good))
                self.add('flood.idle', 'ours', idle)
                self.add(row, 'limit', self.meanwhile(ours, other, attackers, good) / idle)
                self.add(row, 'ours', self.meanwhile(ours, ours, attackers, good) / idle)
                for one in (ours, other):
                    one.stop()

    @staticmethod
    def p99(seen):
        return percentile(seen['micros'], 99) / 1000

    def meanwhile(self, ours, flooded, attackers, cgroup):
        """The p99 of fetches from our agent while another or itself is flooded."""
        running = [ours.node.start_lines([*make(flooded.node), flooded.socket, *map(str, size)], **how)
                   for make, size, how in attackers]
        time.sleep(0.3)  # until they have begun
        micros, failed = [], 0
        while not any(one.has_line() for one in running):
            seen = ours.load('paced', 0.5, cgroup=cgroup)
            micros += seen['micros']
            failed += seen['failed']
        self.add('flood.failed', 'ours', failed)
        for one in running:
            one.json(30)
        return percentile(micros, 99) / 1000
