#!/usr/bin/env python3
"""What callers of the real binary see, and what it costs: one line a figure, each with how to get it. Asserts nothing.

    LANYARD_BUILD=build/release-tests socket_bench.py [PART…]

Parts: fetch, issue, restart, flood, streams; all without one. Root is needed for the flood (it comes from another user).
tests/bench/run.sh runs this and the benchmarks of single functions.
"""

import os
import pathlib
import statistics
import sys
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'support/python'))
sys.dont_write_bytecode = True

from node import UID, NodeTest, entry, is_root  # noqa: E402
from programs import flood_program, stream_program  # noqa: E402
from svid_stream import Stream, percentile  # noqa: E402

ME = f'unix:uid:{os.geteuid()}'
PARTS = ['fetch', 'issue', 'restart', 'flood', 'streams']
wanted = sys.argv[1:] or PARTS


def show(part, what, value):
    print(f'{what:<58} {value:<34} socket_bench.py {part}', flush=True)


def both(p50, p99):
    return f'p50 {p50:.2f} ms, p99 {p99:.2f} ms'


def mebibytes(count):
    return f'{count / (1 << 20):.1f} MiB'


def first_message(path, deadline):
    """Asks again and again until a message comes."""
    while time.monotonic() < deadline:
        try:
            stream = Stream(path)
        except OSError:
            time.sleep(0.001)
            continue
        messages = []
        while not messages and not stream.over:
            messages = stream.on_readable()
        stream.close()
        if messages:
            return messages[0]
    raise AssertionError('no message came')


class SocketBench(NodeTest):
    def log_level(self, **more):
        return [('log', {'level': 'warn'}), *more.items()]

    def fetches(self, node, seconds, processes=1):
        """Latencies of all callers in milliseconds, and how many fetches failed."""
        running = [node.start_lines([*stream_program(node), 'fetches', node.socket, seconds]) for _ in range(processes)]
        done = [one.json(seconds + 30) for one in running]
        return [latency for one in done for latency in one['latencies_ms']], sum(one['failed'] for one in done)

    def test_fetch(self):
        node = self.started_node([entry('/me', ME)], config=self.log_level())
        show('fetch', 'resident memory at the start', mebibytes(node.resident_bytes()))
        one, _ = self.fetches(node, 5)
        show('fetch', 'connect, call, first SVID; one caller', both(percentile(one, 50), percentile(one, 99)))
        cpu = self.cpu_seconds(node)
        many, _ = self.fetches(node, 5, 4)
        show('fetch', 'fetches a second; 4 callers in Python, same cores', f'{len(many) / 5:.0f}/s')
        show('fetch', 'the same, latency', both(percentile(many, 50), percentile(many, 99)))
        show('fetch', 'the same, CPU of the agent a fetch', f'{(self.cpu_seconds(node) - cpu) / len(many) * 1e6:.0f} us')

    def test_issue(self):
        count = 2000
        node = self.started_node([entry(f'/agent-{number}', ME) for number in range(count)], config=self.log_level())
        begin = time.monotonic()
        first_message(node.socket, begin + 60)
        seconds = time.monotonic() - begin
        show('issue', f'{count} new SVIDs for one caller, as it sees it', f'{seconds * 1000:.0f} ms, {count / seconds:.0f} issues/s')

    def test_restart(self):
        node = self.started_node([entry('/me', ME)], config=self.log_level())
        times = []
        for _ in range(10):
            node.stop()
            begin = time.monotonic()
            node.launch()
            first_message(node.socket, begin + 30)
            times.append(1000 * (time.monotonic() - begin))
        show('restart', 'start of the process to the first SVID, median of 10', f'{statistics.median(times):.0f} ms (most {max(times):.0f})')

    def test_flood(self):
        if not is_root():
            self.skipTest('the flood comes from another user')
        node = self.started_node([entry('/me', ME)], config=self.log_level())
        idle, _ = self.fetches(node, 5)
        before = node.resident_bytes()
        flood, flooded, failed = self.fetches_during_a_flood(node, node)
        # What the load on the processors alone does: the flood goes to another agent.
        other = self.started_node([entry('/me', ME)], config=self.log_level())
        _, beside, _ = self.fetches_during_a_flood(node, other)
        show('flood', 'garbage connections of one user', f'{flood["connections"] / flood["seconds"]:.0f}/s for {flood["seconds"]:.1f} s')
        show('flood', 'another user, before', both(percentile(idle, 50), percentile(idle, 99)))
        show('flood', 'another user, meanwhile', both(percentile(flooded, 50), percentile(flooded, 99)))
        show('flood', 'the same while another agent is flooded', both(percentile(beside, 50), percentile(beside, 99)))
        show('flood', 'fetches that failed meanwhile', f'{failed} of {failed + len(flooded)}')
        show('flood', 'resident memory before and after', f'{mebibytes(before)}, {mebibytes(node.resident_bytes())}')

    def fetches_during_a_flood(self, node, flooded):
        """What the flood program says, and the latencies and failures of fetches from `node` meanwhile."""
        attacker = node.start_lines([*flood_program(node), flooded.socket, 50_000, 1000], uid=UID)
        latencies, failed = [], 0
        while not attacker.has_line():
            more, failures = self.fetches(node, 1)
            latencies, failed = latencies + more, failed + failures
        return attacker.json(), latencies, failed

    def test_streams(self):
        count = 1000
        node = self.started_node([entry('/me', ME)], config=self.log_level(limits={'connections_per_uid': count + 200}))
        before = node.resident_bytes()
        crowd = node.start_lines([*stream_program(node), 'many', node.socket, count])
        first = crowd.json(60)
        after = node.resident_bytes()
        show('streams', f'{count} streams opened', f'{first["all_after_s"]:.2f} s')
        show('streams', f'resident memory with {count} idle streams', f'{mebibytes(after)}, {(after - before) / count / 1024:.1f} KiB each')
        node.stop()
        begin = time.monotonic()
        node.start()
        back = crowd.json(60)
        show('streams', f'{count} streams are back after a restart', f'{back["all_after_s"]:.2f} s after they were cut off')
        show('streams', 'start of the process until all were back', f'{time.monotonic() - begin:.2f} s')

    @staticmethod
    def cpu_seconds(node):
        parts = pathlib.Path(f'/proc/{node.process.pid}/stat').read_text(encoding='ascii').rsplit(')', 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf('SC_CLK_TCK')


if __name__ == '__main__':
    os.umask(0o022)
    suite = unittest.TestSuite(SocketBench(f'test_{part}') for part in wanted)
    outcome = unittest.TextTestRunner(verbosity=0, stream=open(os.devnull, 'w', encoding='utf-8')).run(suite)
    for test, why in [*outcome.failures, *outcome.errors]:
        print(f'not measured: {test.id()}: {why.strip().splitlines()[-1]}', file=sys.stderr)
    for test, why in outcome.skipped:
        print(f'not measured: {test.id()}: {why}', file=sys.stderr)
    sys.exit(0 if outcome.wasSuccessful() else 1)
