"""What a caller waits for its first SVID on a new connection, and what that costs the agent."""

import threading

from contenders import Bare, Bench, Ours, SpireAgent, mine
from svid_stream import percentile

# docs/ATTESTORS.md; values that no caller has.
EVERY_KIND = [
    'unix:uid:4242', 'unix:user:nobody-here', 'unix:gid:4242', 'unix:group:nobody-here', 'unix:supplementary_gid:4242',
    'unix:supplementary_group:nobody-here', 'unix:path:/nowhere', f'unix:sha256:{"0" * 64}', 'process:cgroup:/nowhere',
    'process:scope:nowhere.scope', 'process:ancestor:/nowhere', f'process:ancestor_sha256:{"0" * 64}', 'process:loginuid:4242',
    'process:tty:pts/4242', 'process:ns:net:1', 'process:traced:true', 'process:no_new_privs:true']


class FetchBench(Bench):
    def test_fetch(self):
        """In turn, so that each has the machine; one caller, then eight."""
        seconds = 1.5 if self.quick else 4
        contenders = self.started([mine()])
        for one in contenders:
            one.load('fetch', 0.5, 8)
        for _ in range(self.rounds):
            for callers in (1, 8):
                for one in contenders:
                    before = one.cpu_seconds()
                    seen = one.load('fetch', seconds, callers)
                    spent = one.cpu_seconds() - before
                    self.assertEqual(seen['failed'], 0, one.name)
                    self.add(f'fetch.cpu.{callers}', one, 1e6 * spent / seen['calls'])
                    self.add(f'fetch.p50.{callers}', one, percentile(seen['micros'], 50))
                    self.add(f'fetch.p99.{callers}', one, percentile(seen['micros'], 99))
                    if callers == 8:
                        self.add('fetch.rate.8', one, seen['calls'] / seen['seconds'])

    def test_every_kind(self):
        """An entry that names every kind of selector makes our agent find out everything about every caller. Nobody earns it.
        spire-agent knows fewer kinds, and finds out all of them: also path and hash of the executable, which by default it does not."""
        seconds = 1.5 if self.quick else 4
        ours = Ours(self, [mine(), ('/nobody', EVERY_KIND, None)])
        spire = [SpireAgent(self, [mine()], discover_path=True)] if self.with_spire else []
        contenders = [ours, *spire, Bare(self, [mine()])]
        for one in contenders:
            one.start().serves()
            one.load('fetch', 0.5, 1)
        for _ in range(self.rounds):
            for one in contenders:
                before = one.cpu_seconds()
                seen = one.load('fetch', seconds, 1)
                self.assertEqual(seen['failed'], 0, one.name)
                self.add('fetch.every', one, 1e6 * (one.cpu_seconds() - before) / seen['calls'])

    def test_cold(self):
        """All at the same time: they sleep, and so does the caller of each."""
        contenders = self.started([mine()])
        count = 20 if self.quick else 100
        for _ in range(self.rounds):
            seen = {}
            threads = [threading.Thread(target=lambda one=one: seen.update({one: one.load('cold', count, seconds=5 * count)}))
                       for one in contenders]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for one in contenders:
                self.assertEqual(seen[one]['failed'], 0, one.name)
                self.add('cold.p50', one, percentile(seen[one]['micros'], 50) / 1000)
                self.add('cold.p99', one, percentile(seen[one]['micros'], 99) / 1000)
