"""The cluster of these tests is one: pods talk, Services lead to them, the kubelet asks the API server who may ask it."""

import pathlib
import shutil
import tempfile

from cluster import ClusterError
from cluster_case import ClusterCase, pod
from cluster_node import ADDRESS, until
from cluster_programs import PKI, commands
from images import busybox_root, directory_layer

SERVES = ('sh', '-c', 'echo "I am $HOSTNAME" >/tmp/index.html; exec httpd -f -p 8000 -h /tmp')


class ClusterTest(ClusterCase):
    def test_pods_reach_each_other_by_their_addresses_in_networks_of_their_own(self):
        _, address = self.start(pod('asks'), pod('serves', *SERVES))
        self.assertTrue(address.startswith('10.244.'), address)
        self.assertEqual(self.exec('asks', 'wget', '-qO-', f'http://{address}:8000'), 'I am serves\n')
        devices = self.exec('asks', 'ls', '/sys/class/net').split()
        self.assertEqual(devices, ['eth0', 'lo'])
        self.assertNotEqual(*[self.exec(name, 'readlink', '/proc/self/ns/net') for name in ('asks', 'serves')])

    def test_a_services_address_leads_to_its_pods_only(self):
        self.start(pod('asks'), pod('serves', *SERVES, labels={'app': 'shop'}), pod('other', *SERVES, labels={'app': 'bank'}))
        self.apply({'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'shop'},
                    'spec': {'selector': {'app': 'shop'}, 'ports': [{'port': 80, 'targetPort': 8000}]}})
        address = self.cluster.get('service', 'shop', '--namespace', self.namespace)['spec']['clusterIP']
        self.assertTrue(address.startswith('10.96.'), address)
        ask = ('timeout', '2', 'wget', '-qO-', f'http://{address}')  # busybox's own `wget -T` crashes
        until(lambda: self.cluster.exec('asks', *ask, namespace=self.namespace).returncode == 0, 30, 'that the Service answers')
        self.assertEqual({self.exec('asks', *ask) for _ in range(5)}, {'I am serves\n'})
        # Even where the pod asks itself.
        self.assertEqual(self.exec('serves', *ask), 'I am serves\n')

    def test_a_pod_reaches_the_api_server_by_its_service(self):
        self.start(pod('asks'))
        token = '/run/secrets/kubernetes.io/serviceaccount/token'
        script = (f'wget -qO- --no-check-certificate --header "Authorization: Bearer $(cat {token})" '
                  'https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version')
        self.assertIn('"gitVersion": "v1.34.2"', self.exec('asks', 'sh', '-c', script))

    def test_an_image_made_of_files_runs_with_the_later_of_them_on_top(self):
        directory = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-image-', dir='/var/tmp'))
        self.addCleanup(shutil.rmtree, directory)
        busybox_root(directory / 'base')
        for name in ('base', 'more'):
            (directory / name / 'etc').mkdir(parents=True, exist_ok=True)
            (directory / name / 'etc/which').write_text(f'{name}\n', encoding='ascii')
        directory_layer(directory / 'base.tar', directory / 'base')
        image = f'lanyard.test/{self.namespace}:1'
        self.cluster.make_image(image, directory / 'base.tar', directory / 'more')
        made = pod('made')
        made['spec']['containers'][0]['image'] = image
        self.start(made)
        self.assertEqual(self.exec('made', 'cat', '/etc/which'), 'more\n')

    def test_a_static_pod_runs_and_is_shown_by_the_api_server(self):
        name = self.namespace  # one that nobody else has
        self.addCleanup(self.cluster.static_pod, name, None)
        self.cluster.static_pod(name, pod(name, *SERVES))
        self.cluster.wait_for(f'pod/{name}-node1')
        seen = self.cluster.get('pod', f'{name}-node1')
        self.assertEqual(seen['metadata']['annotations']['kubernetes.io/config.source'], 'file')
        self.assertEqual(self.cluster.node.must('curl', '-sS', f'http://{seen["status"]["podIP"]}:8000'), f'I am {name}-node1\n')

    def ask_kubelet(self, token, host='node1'):
        """The status of GET /pods with the kubelet's certificate checked, and the answer."""
        answer = self.cluster.node.must('curl', '-sS', '--cacert', f'{PKI}/ca.crt', '-H', '@-', '-w', '\n%{http_code}',
                                        f'https://{host}:10250/pods', text=f'Authorization: Bearer {token}')
        body, _, status = answer.rpartition('\n')
        return int(status), body

    def test_the_kubelet_shows_its_pods_only_to_whom_the_api_server_lets_get_nodes_pods(self):
        self.cluster.kubectl('create', 'serviceaccount', 'agent', '--namespace', self.namespace)
        token = self.cluster.token('agent', self.namespace)
        self.assertEqual(self.ask_kubelet(token)[0], 403)
        self.assertEqual(self.ask_kubelet('nobody')[0], 401)
        role = f'{self.namespace}-pods'
        for kind in ('clusterrole', 'clusterrolebinding'):
            self.addCleanup(self.cluster.kubectl, 'delete', kind, role, '--ignore-not-found')
        self.cluster.kubectl('create', 'clusterrole', role, '--verb=get', '--resource=nodes/pods')
        self.cluster.kubectl('create', 'clusterrolebinding', role, f'--clusterrole={role}',
                             f'--serviceaccount={self.namespace}:agent')
        until(lambda: self.ask_kubelet(token)[0] == 200, 30, 'that the kubelet answers the service account')
        for host in ('node1', ADDRESS):  # both are in its certificate
            status, body = self.ask_kubelet(token, host)
            self.assertEqual(status, 200, body)
            self.assertIn('"PodList"', body)

    def test_the_kubelets_port_for_anybody_is_there_when_it_is_asked_for(self):
        url = f'http://{ADDRESS}:10255/pods'
        self.assertNotEqual(self.cluster.node.run('curl', '-sS', url).returncode, 0)
        self.addCleanup(self.cluster.up)
        self.cluster.up(read_only_port=10255)
        self.assertIn('"PodList"', self.cluster.node.must('curl', '-sS', url))

    def test_what_runs_is_left_alone_when_it_is_started_again(self):
        def pids():
            return {name: (self.cluster.state / 'pids' / name).read_text(encoding='ascii') for name in commands()}
        before, init = pids(), self.cluster.node.init()
        self.cluster.up()
        self.assertEqual((pids(), self.cluster.node.init()), (before, init))

    def test_after_a_loss_of_power_the_same_pods_run_again(self):
        self.start(pod('stays', *SERVES))
        first = self.cluster.node.init()
        self.cluster.power_off()
        with self.assertRaisesRegex(ClusterError, 'the node is not up'):
            self.cluster.kubectl('get', 'pods')
        self.cluster.up()
        self.assertNotEqual(self.cluster.node.init(), first)
        until(lambda: self.cluster.exec('stays', 'wget', '-qO-', 'http://127.0.0.1:8000', namespace=self.namespace).stdout ==
              'I am stays\n', 120, 'that the pod runs again')

    def test_nothing_of_its_network_is_the_machines(self):
        self.start(pod('asks'))
        ours = set(pathlib.Path('/proc/self/net/dev').read_text(encoding='ascii').split())
        self.assertNotIn('node:', ours)
        self.assertIn('node:', self.cluster.node.must('cat', '/proc/net/dev').split())
