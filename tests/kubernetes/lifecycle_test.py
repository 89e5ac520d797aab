"""The cluster comes, and goes without a trace. The other tests here run between these two."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from cluster import Cluster
from cluster_case import STATE, skip_or_fail
from cluster_programs import commands
from node import ROOT
from peers import PEERS


class ClusterUpTest(unittest.TestCase):
    def test_the_node_becomes_ready(self):
        skip_or_fail(self)
        cluster = Cluster(STATE)
        cluster.down()  # what a run that was killed has left
        cluster.up()
        node = cluster.get('node', 'node1')
        self.assertEqual(node['status']['nodeInfo']['kubeletVersion'], 'v1.34.2')
        self.assertIn(('Ready', 'True'), [(one['type'], one['status']) for one in node['status']['conditions']])

    def test_one_that_cannot_start_says_why_and_leaves_nothing_running(self):
        skip_or_fail(self)
        directory = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-cluster-', dir='/var/tmp'))
        self.addCleanup(shutil.rmtree, directory)
        (directory / 'bin').mkdir()
        for program in (PEERS / 'bin').glob('kube*'):
            (directory / 'bin' / program.name).symlink_to(program)
        broken = directory / 'bin/kube-apiserver'
        broken.unlink()
        broken.write_text('#!/bin/sh\necho "no space for stars"\nexit 1\n', encoding='ascii')
        broken.chmod(0o755)
        state = directory / 'state'
        command = [ROOT / 'tests/kubernetes/cluster.sh', '--state', state]
        environment = {**os.environ, 'LANYARD_PEERS': str(directory)}
        done = subprocess.run([*command, 'up'], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stderr, 'cluster: kube-apiserver ended:\nno space for stars\n')
        cluster = Cluster(state)
        self.assertIsNone(cluster.node.init())
        self.assertEqual(list(pathlib.Path('/sys/fs/cgroup').glob(f'**/{cluster.node.cgroup}')), [])
        self.assertNotIn(str(directory), commands_of_all())
        subprocess.run([*command, 'down'], env=environment, check=True)
        self.assertFalse(state.exists())


class ClusterDownTest(unittest.TestCase):
    def test_nothing_is_left_on_the_machine(self):
        skip_or_fail(self)
        cluster = Cluster(STATE)
        init = cluster.node.init()
        self.assertTrue(init, 'no cluster runs')
        self.addCleanup(cluster.down)
        namespace = os.stat(f'/proc/{init}/ns/pid').st_ino
        cgroup = cluster.node.cgroup
        self.assertTrue(list(pathlib.Path('/sys/fs/cgroup').glob(f'**/{cgroup}')))
        self.assertGreater(len(processes_in(namespace)), len(commands()))
        cluster.down()
        self.assertEqual(processes_in(namespace), [])
        self.assertEqual(list(pathlib.Path('/sys/fs/cgroup').glob(f'**/{cgroup}')), [])
        self.assertNotIn(str(STATE), pathlib.Path('/proc/self/mounts').read_text(encoding='utf-8'))
        self.assertFalse(STATE.exists())


def commands_of_all():
    """The command lines of the machine's processes."""
    return subprocess.run(['ps', '-eo', 'args'], capture_output=True, text=True, check=True).stdout


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
