"""Renewals of short SVIDs while many streams watch: what they cost, and whether they come in time."""

import os
import time

from contenders import Bench, Held, mine

TTL = 60
MIB = 1 << 20


class RenewalBench(Bench):
    def test_renewal(self):
        """Fifty identities that fall due together, on five hundred streams, for 75 s."""
        streams, identities, seconds = (100 if self.quick else 500), 50, 75
        entries = [mine(f'/agent-{number}', TTL) for number in range(identities)]
        for _ in range(self.rounds):
            for one in self.contenders(entries, limit=False, connections=streams):
                one.start()
                one.until_it_serves(identities)
                held, cpu = Held(self, one, streams), one.cpu_seconds()
                held.mark()
                time.sleep(seconds)
                report = held.report()
                self.add('renewal.peak', one, one.peak() / MIB)
                self.add('renewal.cpu', one, one.cpu_seconds() - cpu)
                self.add('renewal.pushes', one, report['messages'] / streams)
                self.add('renewal.missed', one, report['over'] + report['invalid'] + max(0, identities - report['fewest']))
                self.add('renewal.left', one, report['least_left_s'])
                held.close()
                one.stop()

    def test_pinned(self):
        """Five thousand streams with one SVID of 60 s, while the agent has one processor. The callers have the others."""
        streams, seconds = (1000 if self.quick else 5000), 75
        first, *rest = sorted(os.sched_getaffinity(0))
        for _ in range(1 if self.quick else self.rounds):
            for one in self.contenders([mine(ttl=TTL)], limit=False, connections=streams, cpus={first}):
                one.start()
                one.serves()
                held = Held(self, one, streams)
                for pid in held.pids if rest else []:
                    os.sched_setaffinity(pid, rest)
                held.mark()
                time.sleep(seconds)
                report = held.report()
                expected = seconds // TTL  # renewed at least once a lifetime
                self.add('pinned.share', one, 1 - report['least_left_s'] / TTL)
                self.add('pinned.missed', one, report['over'] + report['invalid'] + (streams if report['least_messages'] < expected else 0))
                held.close()
                one.stop()
