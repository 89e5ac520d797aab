"""From the start of the process to the first SVID, with what the last run has left on disk."""

import os
import time

from contenders import LOAD, Bench, Ours, mine, others
from process import LineProcess
from programs import stream_program


def start_seconds(one):
    """From the start to the first message. The caller is there before the agent, and asks again after 1 ms, later 16."""
    caller = LineProcess([LOAD, 'first', one.socket, 60], os.environ)
    try:
        time.sleep(0.05)
        begin = time.monotonic()
        one.start()
        return caller.json(70)['at'] - begin
    finally:
        caller.stop()


class StartBench(Bench):
    def test_start(self):
        for count in (1, 1000):
            contenders = self.started([mine(), *others(count - 1)])
            time.sleep(2 if count == 1 or self.quick else 8)  # what is written late is on disk
            for one in contenders:
                one.stop()
            for _ in range(self.rounds * 3):
                for one in contenders:
                    if one.name == 'limit' and count > 1:
                        continue
                    self.add(f'start.{count}', one, 1000 * start_seconds(one))
                    one.stop()

    def test_restart(self):
        """Callers come back as client libraries do: each after a wait of its own that doubles from 50 ms to 1 s."""
        count = 1000
        for _ in range(self.rounds):
            ours = Ours(self, [mine()], connections=count).start()
            ours.serves()
            crowd = ours.node.start_lines([*stream_program(ours.node), 'many', ours.socket, count])
            crowd.json(60)
            ours.stop()
            ours.start()
            self.add('restart.back', ours, 1000 * crowd.json(60)['all_after_s'])
            crowd.stop()
            ours.stop()
