"""What repeated calls for tokens cost, on connections that are kept open as a client library keeps them."""

from contenders import Bench, mine
from svid_stream import percentile


class TokenBench(Bench):
    def test_tokens(self):
        """In turn, so that each has the machine; one caller, then eight. For spire-agent as for ours the token that is asked for again
        and again is in its cache: the load's first call, before it counts, had it signed."""
        seconds = 1 if self.quick else 4
        contenders = self.started([mine()])
        for one in contenders:
            one.load('jwt', 0.5, 8)
        for _ in range(self.rounds):
            for verb in ('jwt', 'validate'):
                for callers in (1, 8):
                    for one in contenders:
                        self.measure(verb, one, seconds, callers)

    def test_new_tokens(self):
        """Each call is for an audience that nobody has named before. SPIRE's server signs, and its CPU is not counted."""
        seconds = 1 if self.quick else 4
        contenders = self.started([mine()], limit=False)
        for _ in range(self.rounds):
            for one in contenders:
                before = one.cpu_seconds()
                seen = one.load('jwt-new', seconds, 8)
                self.assertEqual(seen['failed'], 0, one.name)
                self.add('jwt-new.cpu.8', one, 1e6 * (one.cpu_seconds() - before) / seen['calls'])
                self.add('jwt-new.rate.8', one, seen['calls'] / seen['seconds'])

    def measure(self, verb, one, seconds, callers):
        before = one.cpu_seconds()
        seen = one.load(verb, seconds, callers)
        spent = one.cpu_seconds() - before
        self.assertEqual(seen['failed'], 0, one.name)
        self.add(f'{verb}.cpu.{callers}', one, 1e6 * spent / seen['calls'])
        self.add(f'{verb}.p50.{callers}', one, percentile(seen['micros'], 50))
        self.add(f'{verb}.p99.{callers}', one, percentile(seen['micros'], 99))
