"""What attesting the callers of open streams again costs."""

import time

from contenders import Bench, Held, Ours, mine
from web import Endpoint

STREAMS = 1000
OFTEN, NEVER = '10s', '24h'


class LookBench(Bench):
    def test_looks(self):
        """CPU of the agent while 1,000 streams are open and nothing happens, with and without looks; the difference by their number."""
        seconds = 15 if self.quick else 30
        for _ in range(self.rounds):
            spent, looks = {}, 0
            for interval in (NEVER, OFTEN):
                one = Ours(self, [mine()], connections=STREAMS, reattestation_interval=interval).start()
                one.serves()
                held = Held(self, one, STREAMS)
                time.sleep(10 if interval == OFTEN else 1)  # until the first looks are spread
                counted, before, begin = self.looks(one), one.cpu_seconds(), time.monotonic()
                time.sleep(seconds)
                spent[interval] = (one.cpu_seconds() - before) / (time.monotonic() - begin)
                looks = (self.looks(one) - counted) / (time.monotonic() - begin)
                held.close()
                one.stop()
            look = (spent[OFTEN] - spent[NEVER]) / looks
            self.add('looks.cpu', 'ours', 1e6 * look)
            self.add('looks.minute', 'ours', 1000 * look * STREAMS / 60)

    @staticmethod
    def looks(one):
        page = Endpoint(one.metrics).metrics()
        return sum(page.value('lanyard_reattestations_total', outcome=how) for how in ('same', 'changed', 'lost', 'undetermined'))
