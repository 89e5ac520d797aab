"""Who gets which identity in a real cluster, from the node agent as its manifests run it: over the kubelet's own TLS and RBAC."""

import json
import pathlib
import shutil
import tempfile

from cluster_node import until
from lanyard_case import FETCH, MANIFESTS, MOUNT, OTHER_WORKLOAD, PREFIX, SAMPLE, SYSTEM, WATCH, WORKLOAD, LanyardCase, entry, workload
from node import BUILD


class IdentityTest(LanyardCase):
    def test_pods_are_told_apart_by_service_account_label_and_image(self):
        ns = f'ns:{self.namespace}'
        self.service_accounts('refunds', 'reports')
        self.register(entry('/sa/refunds', ns, 'sa:refunds'), entry('/sa/reports', ns, 'sa:reports'),
                      entry('/label/red', ns, 'pod-label:colour:red'), entry('/label/blue', ns, 'pod-label:colour:blue'),
                      entry('/image/one', ns, f'container-image:{WORKLOAD}'),
                      entry('/image/other', ns, f'container-image:docker.io/library/{OTHER_WORKLOAD}'),
                      entry('/elsewhere', 'ns:default', 'sa:refunds'))
        self.start(workload('one', labels={'colour': 'red'}, serviceAccountName='refunds'),
                   workload('other', *WATCH, image=OTHER_WORKLOAD, labels={'colour': 'blue'}, serviceAccountName='reports'))
        self.assertEqual(self.fetch_ids('one'), {'/sa/refunds', '/label/red', '/image/one'})
        self.assertEqual(self.fetch_ids('other'), {'/sa/reports', '/label/blue', '/image/other'})

    def test_the_agent_may_ask_kubelets_for_their_pods_and_nothing_else(self):
        def allowed(*what):
            about = ('auth', 'can-i', *what, f'--as=system:serviceaccount:{SYSTEM}:lanyard')
            return self.cluster.node.run(*self.cluster.kubectl_command(*about)).stdout.strip()
        self.assertEqual(allowed('get', 'nodes', '--subresource=pods'), 'yes')
        for what in (('get', 'nodes', '--subresource=proxy'), ('create', 'nodes', '--subresource=proxy'), ('get', 'nodes'),
                     ('get', 'pods'), ('get', 'secrets', f'--namespace={SYSTEM}'), ('create', 'serviceaccounts', '--subresource=token')):
            self.assertEqual(allowed(*what), 'no', what)

    def test_the_samples_agent_and_tool_prove_to_each_other_who_they_are(self):
        for name in ('sample-tool', 'sample-agent'):
            self.cluster.wait_for(f'deployment/{name}', 'condition=Available', SAMPLE, 120)
        says = until(lambda: _answered(self.cluster.logs('deployment/sample-agent', namespace=SAMPLE)), 60, 'that the agent has an answer')
        self.assertIn('I am spiffe://example.org/sample/agent', says)
        self.assertIn('proved to be spiffe://example.org/sample/tool', says)
        self.assertIn('it knows me ("hello spiffe://example.org/sample/agent")', says)

    def test_a_stranger_of_the_sample_is_refused(self):
        self.cluster.wait_for('job/sample-stranger', 'condition=Failed', SAMPLE)
        self.assertRegex(self.cluster.logs('job/sample-stranger', namespace=SAMPLE),
                         r'no registration entry matches this process \(PERMISSION_DENIED\)')

    def test_an_open_stream_follows_a_label_that_is_changed(self):
        ns = f'ns:{self.namespace}'
        self.apply_impatient_agent()
        self.register(entry('/red', ns, 'pod-label:colour:red'), entry('/blue', ns, 'pod-label:colour:blue'))
        self.start(workload('one', *WATCH, labels={'colour': 'red'}))
        until(lambda: self.ids_now('one') == {'/red'}, 30, 'that the pod is red')
        self.cluster.kubectl('label', 'pod', 'one', 'colour=blue', '--overwrite', f'--namespace={self.namespace}')
        until(lambda: self.ids_now('one') == {'/blue'}, 30, 'that the pod is blue')
        self.assertEqual(len(self.updates('one')), 2, 'one stream, and what it said')

    def test_an_open_stream_follows_a_label_of_its_namespace(self):
        self.apply_impatient_agent('    api_server:\n      address: ${KUBERNETES_SERVICE_HOST}\n      port: ${KUBERNETES_SERVICE_PORT}\n',
                                   components=['namespace-labels'])
        ns = f'ns:{self.namespace}'
        self.register(entry('/red', ns, 'ns-label:colour:red'), entry('/blue', ns, 'ns-label:colour:blue'))
        self.cluster.kubectl('label', 'namespace', self.namespace, 'colour=red')
        self.start(workload('one', *WATCH))
        until(lambda: self.ids_now('one') == {'/red'}, 30, 'that the namespace is red')
        self.cluster.kubectl('label', 'namespace', self.namespace, 'colour=blue', '--overwrite')
        until(lambda: self.ids_now('one') == {'/blue'}, 30, 'that the namespace is blue')

    def apply_impatient_agent(self, settings='', components=()):
        """An overlay as docs/KUBERNETES.md has it, where callers of open streams are looked at again every second or two, until the test's
        end. `settings` are more of attestors.kubernetes."""
        self.addCleanup(self.rolled_out)
        self.addCleanup(self.cluster.kubectl, 'apply', '--kustomize', MANIFESTS / 'sample')
        directory = pathlib.Path(tempfile.mkdtemp(dir=BUILD))
        self.addCleanup(shutil.rmtree, directory)
        shutil.copytree(MANIFESTS, directory / 'kubernetes')
        overlay = directory / 'overlay'
        overlay.mkdir()
        text = (MANIFESTS / 'standalone/lanyard.yaml').read_text(encoding='utf-8')
        quick = text.replace('  kubernetes:\n', f'  kubernetes:\n    refresh: 1s\n{settings}')
        self.assertNotEqual(text, quick)
        (overlay / 'lanyard.yaml').write_text(f'{quick}limits: {{reattestation_interval: 2s}}\n', encoding='utf-8')
        (overlay / 'kustomization.yaml').write_text(json.dumps({
            'resources': ['../kubernetes/sample'], 'components': [f'../kubernetes/components/{name}' for name in components],
            'configMapGenerator': [{'name': 'lanyard-config', 'namespace': SYSTEM, 'behavior': 'replace', 'files': ['lanyard.yaml']}]}),
            encoding='utf-8')
        self.cluster.kubectl('apply', '--kustomize', overlay)
        self.rolled_out()

    def test_init_and_ephemeral_containers_have_identities_of_their_own(self):
        ns = f'ns:{self.namespace}'
        self.register(*(entry(f'/{name}', ns, f'container-name:{name}') for name in ('main', 'prepare', 'debug')))
        prepare = {'name': 'prepare', 'image': WORKLOAD, 'imagePullPolicy': 'Never', 'command': list(FETCH), 'volumeMounts': [MOUNT]}
        self.start(workload('one', initContainers=[prepare]))
        self.assertEqual(_ids(self.cluster.logs('one', '--container=prepare', namespace=self.namespace)), {'/prepare'})
        self.assertEqual(self.fetch_ids('one', container='main'), {'/main'})
        with tempfile.NamedTemporaryFile('w', dir=BUILD, suffix='.json') as custom:
            json.dump({'volumeMounts': [MOUNT], 'imagePullPolicy': 'Never'}, custom)
            custom.flush()
            self.cluster.kubectl('debug', 'one', f'--namespace={self.namespace}', '--container=debug', f'--image={WORKLOAD}',
                                 '--profile=general', f'--custom={custom.name}', '--', 'sleep', 'infinity')
        until(lambda: self.fetch('one', container='debug').returncode == 0, 30, 'that the ephemeral container has an identity')
        self.assertEqual(self.fetch_ids('one', container='debug'), {'/debug'})

    def test_a_static_pod_has_an_identity(self):
        name = self.namespace  # one that nobody else has
        self.register(entry('/static', 'ns:default', f'pod-name:{name}-node1'))
        self.addCleanup(self.cluster.static_pod, name, None)
        self.cluster.static_pod(name, workload(name))
        self.cluster.wait_for(f'pod/{name}-node1')
        self.assertEqual(self.fetch_ids(f'{name}-node1', namespace='default'), {'/static'})

    def test_a_changed_registry_is_read_while_the_agent_runs_and_streams_are_open(self):
        ns = f'ns:{self.namespace}'
        self.register(entry('/first', ns))
        self.start(workload('one', *WATCH))
        before = self.agent_pod()
        until(lambda: self.ids_now('one') == {'/first'}, 30, 'the first identity')
        self.register(entry('/second', ns))
        until(lambda: self.ids_now('one') == {'/second'}, 10, 'the second identity')
        after = self.agent_pod()
        self.assertEqual(after['metadata']['uid'], before['metadata']['uid'])
        self.assertEqual(after['status']['containerStatuses'], before['status']['containerStatuses'])
        self.assertEqual(len(self.updates('one')), 2, 'one stream, and what it said')


def _answered(text):
    return text if 'answer: "order 4711 is on its way"' in text else ''


def _ids(text):
    return {svid['spiffe_id'].removeprefix(PREFIX) for svid in json.loads(text)['svids']}
