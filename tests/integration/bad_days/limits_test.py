"""Floods of calls from one user, one cgroup and one identity. Whoever floods is held to the limits; others keep their answers."""

import json
import os
import unittest

from audit_view import AuditView
from cgroups import Cgroups
from node import UID, NodeTest, entry, eventually, is_root
from process import sanitized
from programs import PYTHON, call_flood_program, stream_program
from svid_stream import percentile
from web import endpoints_of

ME = f'unix:uid:{os.geteuid()}'
SECONDS = 8
FLOOR_MS = 5  # of the honest latency that counts: below it the machine's own noise is larger
UNAVAILABLE = 'status 14'
WATCHED = [('endpoints', {'metrics': '127.0.0.1:0', 'health': '127.0.0.1:0'})]


@unittest.skipUnless(is_root(), 'needs root: processes of other users, and cgroups, are made')
class ManyCallersTest(NodeTest):
    def honest(self, node, seconds, **how):
        """The latencies of fetches one after the other, in milliseconds; none may fail."""
        done = node.start_lines([*stream_program(node), 'fetches', node.socket, seconds], **how).json(30)
        self.assertEqual(done['failed'], 0, done)
        return done['latencies_ms']

    def flood(self, node, attackers, honest):
        """What became of each attacker's calls, while the honest caller's p99 stays within twenty times what it is without (twice is
        what a quiet machine should show). Without: idle, or while another agent is flooded, for what that takes of the processors."""
        idle = percentile(self.honest(node, 3, **honest), 99)
        other = self.started_node([entry('/me', ME)])
        beside, _ = self.meanwhile(node, other, attackers, honest)
        during, came = self.meanwhile(node, node, attackers, honest)
        print(f'{self._testMethodName}: honest p99 {idle:.2f} ms idle, {beside:.2f} ms beside a flood, {during:.2f} ms under it; {came}')
        # An agent that is slow by its sanitizer is flooded several times as much.
        if not sanitized():
            self.assertLess(during, 10 * 2 * max(idle, beside, FLOOR_MS))
        return came

    def meanwhile(self, node, flooded, attackers, honest):
        floods = [node.start_lines([*call_flood_program(node), flooded.socket, SECONDS, *size], **how) for *size, how in attackers]
        latencies = []
        while not all(flood.has_line() for flood in floods):
            latencies += self.honest(node, 0.5, **honest)
        return percentile(latencies, 99), [flood.json()['came'] for flood in floods]

    def refusals(self, node):
        """Reasons of denials that name a limit."""
        return [line['reason'] for line in AuditView(node).lines(decision='deny', reason=lambda reason: 'limits.' in reason)]

    def test_a_flood_of_calls_of_one_user_costs_others_little(self):
        node = self.started_node([entry('/me', ME)])
        [came] = self.flood(node, [(20, 100, {'uid': UID})], {})
        self.assertGreater(came.get(UNAVAILABLE, 0), 0, came)
        refusals = self.refusals(node)
        self.assertTrue(any(f'uid {UID} has reached its limit' in reason for reason in refusals), refusals)
        self.assertLess(len(refusals), 20, 'equal refusals are counted, not written')
        findings = json.loads(node.cli('health', '--output', 'json').stdout)['findings']
        [remedy] = [finding['remedy'] for finding in findings if finding['component'] == 'listener']
        self.assertIn('limits.per_caller.', remedy)

    def test_a_flood_of_calls_of_one_cgroup_does_not_touch_another_of_the_same_user(self):
        cgroups = Cgroups(self)
        bad, good = cgroups.make('bad'), cgroups.make('good')
        node = self.started_node([entry('/bad', ME, cgroups.selector(bad)), entry('/good', ME, cgroups.selector(good))])
        [came] = self.flood(node, [(20, 100, {'cgroup': bad})], {'cgroup': good})
        self.assertGreater(came.get(UNAVAILABLE, 0), 0, came)
        refusals = self.refusals(node)
        self.assertTrue(any(f'cgroup {cgroups.path(bad)} has' in reason for reason in refusals), refusals)

    def test_a_flood_in_the_name_of_one_identity_from_many_cgroups_is_held_to_the_limit_of_the_identity(self):
        cgroups = Cgroups(self)
        crowd = [cgroups.make(f'crowd-{number}') for number in range(4)]
        good = cgroups.make('good')
        node = self.started_node([*(entry('/crowd', ME, cgroups.selector(one)) for one in crowd), entry('/good', ME, cgroups.selector(good))],
                                 config=[('limits', {'per_identity': {'streams': 50}})])
        came = self.flood(node, [(5, 100, 'hold', {'cgroup': one}) for one in crowd], {'cgroup': good})
        self.assertGreater(sum(one.get(UNAVAILABLE, 0) for one in came), 0, came)
        refusals = self.refusals(node)
        self.assertTrue(any('spiffe://example.org/crowd has reached its limit' in reason for reason in refusals), refusals)
        self.assertLessEqual(len(AuditView(node).lines(kind='issue')), 5, 'what is cached is served: a flood forces no issuance')

    def test_a_thousand_new_cgroups_do_not_make_the_table_of_callers_grow(self):
        cgroups = Cgroups(self)
        node = self.started_node([entry('/me', ME)], config=WATCHED)
        metrics = endpoints_of(node)['metrics']
        holder = node.start_lines([PYTHON, '-c', MANY_CGROUPS, cgroups.top, node.socket, 2000])
        held = holder.json(60)
        self.assertGreater(held['open'], 1024)
        accounts = metrics.metrics().value('lanyard_limit_accounts', socket='workload')
        self.assertLessEqual(accounts, 1024 + 100)
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'])
        holder.process.stdin.close()
        self.assertEqual(holder.wait(30), 0)

        def forgotten():
            node.fetch_ids()
            return metrics.metrics().value('lanyard_limit_accounts', socket='workload') < accounts
        eventually(forgotten, 30, 'that callers who are gone are forgotten')


# Makes cgroups, and has a connection open from each, until its standard input ends.
MANY_CGROUPS = """
import json, os, socket, sys
top, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
connections = []
for number in range(count):
    os.mkdir(f'{top}/{number}')
    with open(f'{top}/{number}/cgroup.procs', 'w') as procs:
        procs.write(str(os.getpid()))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    connections.append(connection)
with open(f'{top}/cgroup.procs', 'w') as procs:
    procs.write(str(os.getpid()))
for number in range(count):
    os.rmdir(f'{top}/{number}')
# The agent has looked at all of them once the last one is answered or closed; those above a limit are closed.
connections[-1].settimeout(1)
def is_open(connection):
    try:
        return bool(connection.recv(1))
    except (BlockingIOError, TimeoutError):
        return True
    except OSError:
        return False
is_open(connections[-1])
for connection in connections:
    connection.setblocking(False)
print(json.dumps({'open': sum(map(is_open, connections))}), flush=True)
sys.stdin.read()
"""
