"""What a caller waits for its first SVID on a new connection, and what that costs the agent."""

import threading

from contenders import Bench, mine


def percentile(sorted_values, percent):
    return sorted_values[min(len(sorted_values) - 1, len(sorted_values) * percent // 100)]


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
                    self.add(f'fetch.cpu.{callers}', one, 1e6 * spent / seen['fetches'])
                    self.add(f'fetch.p50.{callers}', one, percentile(seen['micros'], 50))
                    self.add(f'fetch.p99.{callers}', one, percentile(seen['micros'], 99))
                    if callers == 8:
                        self.add('fetch.rate.8', one, seen['fetches'] / seen['seconds'])

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
