"""Pods that want what is not theirs, and a kubelet that the node agent must not believe or may not ask."""

from cluster_node import ENVIRONMENT, until
from lanyard_case import FETCH, MANIFESTS, SYSTEM, LanyardCase, entry, workload
from node import EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE
from process import LineProcess

CALL_ADMIN = ('lanyard', 'registry', 'list', '--admin-socket')


class AttackTest(LanyardCase):
    def test_a_pod_with_the_sockets_directory_finds_no_admin_socket(self):
        self.start(workload('curious'))
        self.assertEqual(self.exec('curious', 'id', '-u'), '0\n')
        self.assertEqual(self.exec('curious', 'ls', '-A', '/run/lanyard').split(), ['workload.sock'])
        found = self.exec('curious', 'find', '/', '-name', 'proc', '-prune', '-o', '-type', 's', '-print')
        self.assertEqual(found, '/run/lanyard/workload.sock\n')
        self.assertNotIn('lanyard', self.exec('curious', 'cat', '/proc/net/unix'))  # nor one without a file
        for path in ('/run/lanyard-admin/admin.sock', '/run/lanyard/../lanyard-admin/admin.sock'):
            done = self.cluster.exec('curious', *CALL_ADMIN, path, namespace=self.namespace)
            self.assertEqual(done.returncode, EXIT_UNREACHABLE, done.stdout + done.stderr)

    def test_the_workload_socket_knows_nothing_of_what_operators_ask(self):
        self.start(workload('curious'))
        done = self.cluster.exec('curious', *CALL_ADMIN, '/run/lanyard/workload.sock', namespace=self.namespace)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, '')
        self.assertIn('unknown method /lanyard.admin.v1.Admin/ListEntries', done.stderr)

    def test_a_pod_with_a_read_only_mount_cannot_put_its_own_socket_there(self):
        self.start(workload('false-agent'))
        for command in (('mv', '/run/lanyard/workload.sock', '/run/lanyard/old'), ('rm', '/run/lanyard/workload.sock'),
                        ('touch', '/run/lanyard/x'), ('mount', '-o', 'remount,rw', '/run/lanyard')):
            done = self.cluster.exec('false-agent', *command, namespace=self.namespace)
            self.assertNotEqual(done.returncode, 0, command)
        self.assertEqual(self.exec('false-agent', 'ls', '-A', '/run/lanyard').split(), ['workload.sock'])

    def test_root_in_a_pod_is_nobody_but_that_pod(self):
        ns = f'ns:{self.namespace}'
        self.service_accounts('rich', 'poor')
        self.register(entry('/rich', ns, 'sa:rich'))
        self.start(workload('rich', serviceAccountName='rich'), workload('poor', serviceAccountName='poor'),
                   workload('poor-on-the-host', serviceAccountName='poor', hostPID=True, hostNetwork=True, hostIPC=True))
        self.assertEqual(self.fetch_ids('rich'), {'/rich'})
        for thief in ('poor', 'poor-on-the-host'):
            self.assertIn('no registration entry matches this process', self.refused(thief))
            self.assertIn('no registration entry matches this process', self.refused_on_the_move(thief))

    def refused_on_the_move(self, thief):
        """What it is told after it has tried to go where the kernel would take it for another container."""
        script = ('for file in $(find /sys/fs/cgroup -name cgroup.procs 2>/dev/null); do (echo $$ >$file) 2>/dev/null && echo moved; '
                  f'done; exec {" ".join(FETCH)}')
        done = self.cluster.exec(thief, 'sh', '-c', script, namespace=self.namespace)
        self.assertNotIn('moved', done.stdout)
        return done.stderr

    def test_root_that_sees_all_processes_of_the_node_looks_into_none_of_the_agents_container(self):
        self.start(workload('thief', hostPID=True), workload('careless'))
        looks = (('ls', 'root/'), ('ls', 'cwd/'), ('cat', 'environ'), ('cat', 'maps'))

        def seen(pid):
            return [look for look in looks if self.cluster.exec('thief', look[0], f'/proc/{pid}/{look[1]}',
                                                                namespace=self.namespace).returncode == 0]
        careless = self.cluster.get('pod', 'careless', f'--namespace={self.namespace}')
        self.assertEqual(seen(self.pids(careless)[0]), list(looks), 'the kernel protects nobody from such a pod by itself')
        # Each probe starts `lanyard health`, which lives for a moment; this command of the same program lives longer.
        follow = self.cluster.node.command(*self.cluster.kubectl_command(
            'exec', f'--namespace={SYSTEM}', 'daemonset/lanyard', '--', 'lanyard', 'audit', 'tail', '--follow'))
        operator = LineProcess(follow, ENVIRONMENT)
        self.addCleanup(operator.stop)
        agent, *others = until(lambda: self.several(self.pids(self.agent_pod())), 20, 'that the command runs beside the agent')
        self.addCleanup(self.cluster.node.run, 'kill', *others)
        self.assertEqual(self.agent('health').returncode, EXIT_OK, 'the agent still knows its operators')
        for pid in (agent, *others):
            self.assertEqual(seen(pid), [], pid)

    @staticmethod
    def several(pids):
        return pids if len(pids) > 1 else None


class RealKubeletTest(LanyardCase):
    """Beside the node's agent another one, which differs from it in one thing."""

    def start_another(self, service_account='lanyard', node=None):
        template = self.cluster.get('daemonset', 'lanyard', f'--namespace={SYSTEM}')['spec']['template']
        spec, name = template['spec'], self.namespace
        [container] = spec['containers']
        spec['serviceAccountName'] = spec['serviceAccount'] = service_account
        if node:
            container['env'] = [one for one in container['env'] if one['name'] != 'NODE_NAME'] + [{'name': 'NODE_NAME', 'value': node}]
        for probe in ('readinessProbe', 'livenessProbe'):
            del container[probe]
        for volume in spec['volumes']:
            if volume['name'] in ('data', 'socket'):
                volume['hostPath']['path'] += f'-{name}'
        self.addCleanup(self.cluster.kubectl, 'delete', 'pod', name, f'--namespace={SYSTEM}', '--wait=false')
        self.cluster.apply({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': name, 'namespace': SYSTEM}, 'spec': spec})
        self.cluster.wait_for(f'pod/{name}', namespace=SYSTEM)
        return name

    def told(self, agent):
        """What a caller of it is told: one in its own container, which is one of a pod as well."""
        done = self.cluster.exec(agent, 'lanyard', 'fetch', 'x509', namespace=SYSTEM)
        self.assertEqual(done.returncode, EXIT_FAILED, done.stdout + done.stderr)
        self.assertIn('cannot answer now', done.stderr)  # Unavailable: clients ask again
        log = self.cluster.logs(agent, namespace=SYSTEM)
        self.assertNotIn('eyJ', done.stderr + log)  # as each token of a service account begins
        return done.stderr, log

    def test_without_the_right_callers_and_the_log_are_told_what_the_kubelet_says(self):
        for text in self.told(self.start_another(service_account='default')):
            self.assertRegex(text, r'it refused with HTTP status 403 \(Forbidden \(user=system:serviceaccount:lanyard-system:default, verb=get')
            self.assertIn('may this service account get nodes/pods', text)

    def test_the_kubelet_of_another_node_is_not_believed(self):
        for text in self.told(self.start_another(node='node2')):
            self.assertIn('its certificate is not for node2 but for DNS:node1', text)

    def test_a_right_that_is_taken_away_and_given_back_needs_no_restart(self):
        self.register(entry('/one', f'ns:{self.namespace}'))
        before = self.agent_pod()
        self.addCleanup(self.cluster.kubectl, 'apply', '--kustomize', MANIFESTS / 'sample')
        self.cluster.kubectl('delete', 'clusterrolebinding', 'lanyard')
        self.start(workload('one'))
        done = until(lambda: _failed(self.fetch('one'), 'status 403'), 30, 'that the kubelet refuses the agent')
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.cluster.kubectl('apply', '--kustomize', MANIFESTS / 'sample')
        until(lambda: self.fetch('one').returncode == EXIT_OK, 30, 'that the pod has an identity')
        self.assertEqual(self.agent_pod()['status']['containerStatuses'], before['status']['containerStatuses'])


def _failed(done, reason):
    return done if reason in done.stderr else None
