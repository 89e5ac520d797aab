"""Callers by the thousand: the table of those that limits are kept for does not grow with them."""

import os
import unittest

from cgroups import Cgroups
from node import UID, NodeTest, entry, eventually, is_root
from programs import PYTHON
from web import endpoints_of

ME = f'unix:uid:{os.geteuid()}'
WATCHED = [('endpoints', {'metrics': '127.0.0.1:0', 'health': '127.0.0.1:0'})]


@unittest.skipUnless(is_root(), 'needs root: processes of other users, and cgroups, are made')
class ManyCallersTest(NodeTest):
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
