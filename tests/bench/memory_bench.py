"""What an agent holds: after its start, for each idle stream, and for ten thousand entries; and what it does while nothing happens."""

import time

from contenders import Bare, Bench, Held, mine, others

MIB, KIB = 1 << 20, 1 << 10


class MemoryBench(Bench):
    def test_streams(self):
        """Anew in each round, since no allocator gives everything back."""
        settle = 1 if self.quick else 3
        sizes = (1000,) if self.quick else (1000, 5000)
        for _ in range(self.rounds):
            for one in self.contenders([mine()], connections=max(sizes)):
                one.start()
                one.serves()
                time.sleep(settle)
                alone = one.resident()
                self.add('memory.rss', one, alone / MIB)
                self.add('memory.private', one, one.private() / MIB)
                groups, opened = [], 0
                for size in sizes:
                    groups.append(Held(self, one, size - opened))
                    opened = size
                    time.sleep(settle)
                    self.add(f'streams.{size}', one, (one.resident() - alone) / size / KIB)
                for group in groups:
                    report = group.report()
                    self.assertEqual((report['over'], report['invalid']), (0, 0), one.name)
                    group.close()
                one.stop()

    def test_entries(self):
        """Both at the same time: they do next to nothing."""
        settle, seconds = (10, 10) if self.quick else (20, 20)
        for _ in range(self.rounds):
            contenders = [one.start() for one in self.contenders([mine(), *others(9_999)], limit=False)]
            for one in contenders:
                one.serves()
            time.sleep(settle)  # spire-agent fills its cache of SVIDs meanwhile
            before = [one.cpu_seconds() for one in contenders]
            begin = time.monotonic()
            time.sleep(seconds)
            took = time.monotonic() - begin
            for one, spent in zip(contenders, before):
                self.add('entries.cpu', one, 1000 * (one.cpu_seconds() - spent) / took)
                self.add('entries.rss', one, one.resident() / MIB)
                self.add('entries.private', one, one.private() / MIB)
                one.stop()

    def test_recipes(self):
        """The bare server with all recipes, and without each in turn: what it is worth here, a stream and a fetch."""
        count, settle = 1000, 1
        for _ in range(self.rounds):
            for without in ('', 'experiment', 'chunks', 'tables', 'graph'):
                one = Bare(self, [mine()], without=without).start()
                one.serves()
                time.sleep(settle)
                alone = one.resident()
                held = Held(self, one, count)
                time.sleep(settle)
                stream = (one.resident() - alone) / count
                held.close()
                before = one.cpu_seconds()
                seen = one.load('fetch', 1, 8)
                self.results.add_recipe(without, stream, 1e6 * (one.cpu_seconds() - before) / seen['calls'])
                one.stop()
