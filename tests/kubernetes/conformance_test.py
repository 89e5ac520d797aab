"""Which selectors containers have: from the node agent as it is deployed, beside spire-agent 1.13.3 on the same node."""

import contextlib
import json
import os
import pathlib
import signal
import unittest

from cluster_node import NAME, until
from cluster_programs import PKI
from lanyard_case import MOUNT, VOLUME, WORKLOAD, LanyardCase, workload
from spire import Spire, spire_binary

# As the API server asks the kubelet: they need more rights than this node's agent has.
ATTESTOR = f'''WorkloadAttestor "k8s" {{ plugin_data {{
  node_name = "{NAME}", kubelet_ca_path = "{PKI}/ca.crt"
  certificate_path = "{PKI}/apiserver-kubelet-client.crt", private_key_path = "{PKI}/apiserver-kubelet-client.key" }} }}'''

# A static pod's service account, and the image of a container that is not made yet: theirs is called "", ours is none.
NO_NAMES = {'k8s:sa:', 'k8s:pod-image:'}


def children_of(pid):
    for stat in pathlib.Path('/proc').glob('[0-9]*/stat'):
        with contextlib.suppress(OSError):
            if int(stat.read_text(encoding='utf-8', errors='replace').rpartition(')')[2].split()[1]) == pid:
                yield int(stat.parent.name)


@unittest.skipUnless(spire_binary('spire-agent') and spire_binary('spire-server'), 'needs SPIRE: tests/peers.sh compiled')
class SameSelectorsTest(LanyardCase):
    def setUp(self):
        super().setUp()
        self.spire = Spire(self, attestors=ATTESTOR, log_level='DEBUG', entering=self.cluster.node.command)
        self.addCleanup(self.stop_spire)
        self.spire.start()

    def stop_spire(self):
        """Not those who entered the node's namespaces, but what they started there."""
        for process in filter(None, (self.spire.process, self.spire.server)):
            for pid in children_of(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def spire_too(self, made):
        """A pod with both sockets in all of its containers."""
        made['spec']['volumes'] = [VOLUME, {'name': 'spire', 'hostPath': {'path': str(self.spire.dir)}}]
        for container in [*made['spec']['containers'], *made['spec'].get('initContainers', [])]:
            container['volumeMounts'] = [MOUNT, {'name': 'spire', 'mountPath': '/spire', 'readOnly': True}]
        return made

    def check(self, name, container='main', kind='containerStatuses', namespace=None, expected=()):
        """Both find the same for a container, among it what is expected."""
        namespace = namespace or self.namespace
        self.spire.log.write_text('', encoding='ascii')
        self.cluster.exec(name, 'lanyard', 'fetch', 'x509', '--socket', '/spire/agent.sock', namespace=namespace, container=container)
        theirs = until(self.spire.selectors_seen, 30, f'that spire-agent has looked at {name}')
        theirs = {f'k8s:{value}' for type_, value in theirs if type_ == 'k8s'} - NO_NAMES
        pod = self.cluster.get('pod', name, f'--namespace={namespace}')
        shown = self.agent('attest', str(self.pids(pod, container, kind)[0]), '--output', 'json')
        ours = {selector for selector in json.loads(shown.stdout)['selectors'] if selector.startswith('k8s:')}
        self.assertEqual(ours, theirs)
        self.assertLessEqual({f'k8s:{one}' for one in expected}, ours)

    def test_a_pod_with_an_owner_labels_and_two_images(self):
        self.apply({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': 'owner'}})
        uid = self.cluster.get('configmap', 'owner', f'--namespace={self.namespace}')['metadata']['uid']
        done = {'name': 'done', 'image': WORKLOAD, 'imagePullPolicy': 'Never', 'command': ['ls']}
        made = self.spire_too(workload('one', labels={'app': 'one', 'example.org/part': 'a-b_c'}, initContainers=[done]))
        made['metadata']['ownerReferences'] = [{'apiVersion': 'v1', 'kind': 'ConfigMap', 'name': 'owner', 'uid': uid}]
        self.start(made)
        self.check('one', expected=[f'ns:{self.namespace}', 'sa:default', 'pod-label:example.org/part:a-b_c', 'pod-owner:ConfigMap:owner',
                                    f'pod-owner-uid:ConfigMap:{uid}', f'container-image:{WORKLOAD}', 'pod-init-image-count:1'])

    def test_an_init_container(self):
        prepare = {'name': 'prepare', 'image': WORKLOAD, 'imagePullPolicy': 'Never', 'command': ['sleep', 'infinity']}
        self.apply(self.spire_too(workload('one', initContainers=[prepare])))
        self.cluster.wait_for('pod/one', 'jsonpath={.status.initContainerStatuses[0].state.running}', self.namespace)
        self.check('one', 'prepare', 'initContainerStatuses', expected=['container-name:prepare', f'pod-init-image:{WORKLOAD}'])

    def test_a_static_pod(self):
        name = self.namespace  # one that nobody else has
        self.addCleanup(self.cluster.static_pod, name, None)
        self.cluster.static_pod(name, self.spire_too(workload(name)))
        self.cluster.wait_for(f'pod/{name}-{NAME}')
        self.check(f'{name}-{NAME}', namespace='default', expected=['ns:default', f'pod-name:{name}-{NAME}'])
