"""The node agent comes into the cluster as docs/KUBERNETES.md says. The tests of what it does there run after this one."""

import pathlib
import tempfile

from cluster_case import ClusterCase
from lanyard_case import MANIFESTS, SAMPLE, SYSTEM, load_images, make_issuer
from node import BUILD


class DeployTest(ClusterCase):
    def test_the_daemonset_becomes_ready_as_kubectl_apply_leaves_it(self):
        load_images(self.cluster)
        self.cluster.kubectl('delete', 'namespace', SYSTEM, SAMPLE, '--ignore-not-found')  # what a run before has left
        self.cluster.kubectl('apply', '--kustomize', MANIFESTS / 'standalone')
        with tempfile.TemporaryDirectory(dir=BUILD) as directory:
            make_issuer(directory)
            files = [f'--from-file={pathlib.Path(directory, name)}' for name in ('tls.crt', 'tls.key', 'ca.crt')]
            self.cluster.kubectl('create', 'secret', 'generic', 'lanyard-issuer', f'--namespace={SYSTEM}', *files)
        self.cluster.kubectl('rollout', 'status', 'daemonset/lanyard', f'--namespace={SYSTEM}', '--timeout=120s', seconds=130)
        health = self.cluster.exec('daemonset/lanyard', 'lanyard', 'health', namespace=SYSTEM)
        self.assertEqual(health.returncode, 0, health.stdout + health.stderr)
        [pod] = self.cluster.get('pods', f'--namespace={SYSTEM}')['items']
        [status] = pod['status']['containerStatuses']
        self.assertEqual(status['restartCount'], 0)
        self.cluster.kubectl('apply', '--kustomize', MANIFESTS / 'sample')
