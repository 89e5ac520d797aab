"""How cost grows with size: entries, streams, identities of one caller. One point each; lines, not averages, are what is looked at."""

import time

from contenders import Bench, Held, mine, others
from svid_stream import percentile
from function_bench import run
from start_bench import start_seconds

MIB = 1 << 20


class CurveBench(Bench):
    def test_curves(self):
        sizes = (10, 100, 1000) if self.quick else (10, 100, 1000, 10_000)
        for count in sizes:
            self._entries(count)
        for count in (10, 100, 1000) if self.quick else (10, 100, 1000, 5000):
            self._streams(count)
        for count in (1, 10, 100) if self.quick else (1, 10, 100, 1000):
            self._identities(count)

    def point(self, curve, contender, x, y):
        self.results.add_point(curve, contender.name if hasattr(contender, 'name') else contender, x, y)

    def _entries(self, count):
        self.point('match', 'ours', count, run('match_bench', count)['earns']['p50_us'])
        contenders = self.started([mine(), *others(count - 1)], limit=False)
        time.sleep(5 if count < 10_000 else 20)  # spire-agent fills its cache of SVIDs meanwhile
        for one in contenders:
            self.point('entries_rss', one, count, one.resident() / MIB)
            one.stop()
            self.point('entries_start', one, count, 1000 * start_seconds(one))
            one.stop()

    def _streams(self, count):
        """One at a time: a fan-out wants the machine."""
        for one in self.contenders([mine()], connections=count):
            one.start()
            one.serves()
            held = Held(self, one, count)
            time.sleep(2)
            self.point('streams_rss', one, count, one.resident() / MIB)
            one.prepare_change([mine(), mine('/more')])
            held.expect(2, 30)
            begin = time.monotonic()
            one.change()
            told = held.told(30)
            self.assertEqual(told['there'], count, one.name)
            # From the first of them to the last: when SPIRE's agent next asks its server is another matter.
            self.point('streams_fan_out', one, count, max(0.001, 1000 * (told['last'] - told['first'])))
            if one.name != 'spire':
                self.point('streams_change', one, count, 1000 * (told['last'] - begin))
            held.close()
            one.stop()

    def _identities(self, count):
        for one in self.contenders([mine(f'/agent-{number}') for number in range(count)]):
            one.start()
            one.until_it_serves(count)
            seen = one.load('fetch', 1 if count < 1000 else 3, 1)
            self.point('identities_fetch', one, count, percentile(seen['micros'], 50) / 1000)
            self.point('identities_rss', one, count, one.resident() / MIB)
            one.stop()
