"""How long a change of the registry takes to reach everybody whom it concerns."""

import time

from contenders import Bench, Held, mine


class ChangeBench(Bench):
    def test_change(self):
        """One entry more, for all of 1,000 open streams, again and again. Ours: the rename of the registry file; SPIRE's: when
        its server has acknowledged the entry; the limit: one push of the bare server."""
        streams = 1000
        entries = [mine()]
        contenders = self.started(entries, connections=streams)
        held = {one: Held(self, one, streams) for one in contenders}
        for _ in range(self.rounds * 3):
            entries = [*entries, mine(f'/more-{len(entries)}')]
            for one in contenders:
                one.prepare_change(entries)
                time.sleep(0.5)
                held[one].expect(len(entries), 30)
                begin = time.monotonic()
                one.change()
                if one.name == 'spire':
                    begin = time.monotonic()
                told = held[one].told(30)
                self.assertEqual(told['there'], streams, f'{one.name}: streams that have {len(entries)} SVIDs')
                self.add('change.last', one, 1000 * max(0, told['last'] - begin))
