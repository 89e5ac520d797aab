"""The cluster comes, and goes without a trace. The other tests here run between these two."""

import os
import pathlib
import unittest

from cluster import Cluster
from cluster_case import STATE, skip_or_fail


class ClusterUpTest(unittest.TestCase):
    def test_the_node_becomes_ready(self):
        skip_or_fail(self)
        cluster = Cluster(STATE)
        cluster.down()  # what a run that was killed has left
        cluster.up()
        node = cluster.get('node', 'node1')
        self.assertEqual(node['status']['nodeInfo']['kubeletVersion'], 'v1.34.2')
        self.assertIn(('Ready', 'True'), [(one['type'], one['status']) for one in node['status']['conditions']])


class ClusterDownTest(unittest.TestCase):
    def test_nothing_is_left_on_the_machine(self):
        skip_or_fail(self)
        cluster = Cluster(STATE)
        init = cluster.node.init()
        self.assertTrue(init, 'no cluster runs')
        namespace = os.stat(f'/proc/{init}/ns/pid').st_ino
        cgroup = cluster.node.cgroup
        self.assertTrue(list(pathlib.Path('/sys/fs/cgroup').glob(f'**/{cgroup}')))
        self.assertGreater(len(processes_in(namespace)), 10)
        cluster.down()
        self.assertEqual(processes_in(namespace), [])
        self.assertEqual(list(pathlib.Path('/sys/fs/cgroup').glob(f'**/{cgroup}')), [])
        self.assertNotIn(str(STATE), pathlib.Path('/proc/self/mounts').read_text(encoding='utf-8'))
        self.assertFalse(STATE.exists())


def processes_in(namespace):
    """Of a pid namespace, by the number of its inode."""
    found = []
    for entry in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            if os.stat(entry / 'ns/pid').st_ino == namespace:
                found.append(entry.name)
        except OSError:  # it has just ended
            pass
    return found
