"""What tests share that use the cluster of a run of ctest: each has a namespace of its own there, and pods that wait in it."""

import secrets
import unittest

from cluster import Cluster, missing
from cluster_programs import BUSYBOX
from kills import FULL
from node import BUILD

STATE = BUILD / 'cluster'


def skip_or_fail(test):
    """Where there is no cluster to be had. In a full run that is a failure."""
    if not FULL:
        test.skipTest('LANYARD_FULL is not 1: a cluster is started in full runs only')
    test.assertFalse(missing(), 'what a cluster needs is missing')


def pod(name, *command, labels=None, **spec):
    """The object of a pod with one container `main` of busybox, which sleeps if it has no command."""
    return {'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'labels': labels or {}}, 'spec': {
        'terminationGracePeriodSeconds': 0,
        'containers': [{'name': 'main', 'image': BUSYBOX, 'imagePullPolicy': 'Never',
                        'command': list(command) or ['sleep', 'infinity']}],
        **spec}}


class ClusterCase(unittest.TestCase):
    def setUp(self):
        skip_or_fail(self)
        self.cluster = Cluster(STATE)
        self.assertTrue(self.cluster.node.init(), 'no cluster runs; ctest starts it before this test, by its fixture')
        self.namespace = f'test-{secrets.token_hex(4)}'
        self.cluster.kubectl('create', 'namespace', self.namespace)
        self.addCleanup(self.cluster.kubectl, 'delete', 'namespace', self.namespace, '--wait=false')
        self.cluster.wait_for('serviceaccount/default', 'create', self.namespace)

    def apply(self, *objects):
        """In the test's namespace."""
        for one in objects:
            one['metadata']['namespace'] = self.namespace
        self.cluster.apply(*objects)

    def start(self, *objects):
        """The same, of pods; returns their addresses when they are ready."""
        self.apply(*objects)
        names = [one['metadata']['name'] for one in objects]
        for name in names:
            self.cluster.wait_for(f'pod/{name}', namespace=self.namespace)
        return [self.cluster.get('pod', name, '--namespace', self.namespace)['status']['podIP'] for name in names]

    def exec(self, name, *command):
        """What a command prints in a pod, where it has to work."""
        done = self.cluster.exec(name, *command, namespace=self.namespace)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout
