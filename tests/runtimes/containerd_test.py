"""The containerd attestor beside a real containerd: containers made over its CRI with crictl, and its own client ctr to compare with."""

import json
import os
import pathlib
import secrets
import signal
import subprocess
import unittest

import containerd
from cgroups import Cgroups
from containerd import IMAGE, Containerd
from node import EXIT_OK, NodeTest, UID, entry, eventually, is_root, shared_binary
from process import drop_to, scaled

ID = 'spiffe://example.org'


@unittest.skipUnless(is_root() and containerd.available(), 'needs root, containerd (deploy/packages.sh full) and crictl '
                     '(tests/peers.sh compiled)')
class ContainerdTest(NodeTest):
    def setUp(self):
        self.runtime = Containerd(self).start()
        self.digest = self.runtime.load_image()

    def agent(self, entries, **settings):
        return self.started_node(entries, config={
            'attestors': {'containerd': {'socket': str(self.runtime.socket), **settings}}})

    @staticmethod
    def client_mounts(node):
        """What a container needs to be a workload: the socket, the client, the libraries of the client."""
        return [(node.socket.parent, '/run/lanyard'), (shared_binary('lanyard'), '/lanyard'), ('/usr', '/usr')]

    FETCH = ('/lanyard', 'fetch', 'x509', '--output', 'json', '--socket', 'unix:///run/lanyard/workload.sock')

    def run_workload(self, node, **options):
        """A container that waits to be told to call."""
        mounts = [*self.client_mounts(node), *options.pop('mounts', ())]
        return self.runtime.run(mounts=mounts, **options)

    def call(self, container):
        """How the client ends in the container."""
        command = [*self.runtime.crictl_command, 'exec', '-s', container, *self.FETCH]
        return subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=scaled(60))

    def ids_in(self, container):
        done = self.call(container)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return [svid['spiffe_id'] for svid in json.loads(done.stdout)['svids']]

    def refusal_in(self, container):
        done = self.call(container)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        return done.stderr

    def attest(self, node, pid):
        done = node.cli('attest', pid, '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def found(self, node, pid):
        """Selectors of the containerd attestor."""
        seen = self.attest(node, pid)
        return sorted(one for one in seen['selectors'] if one.startswith('containerd:'))

    def test_a_container_has_the_identities_of_its_labels_variables_and_image_and_no_others(self):
        node = self.agent([
            entry('/label', 'containerd:label:team:refunds'), entry('/env', 'containerd:env:MODE=fast'),
            entry('/from-image', 'containerd:env:FROM_IMAGE=yes'), entry('/image', f'containerd:image_id:{IMAGE}'),
            entry('/digest', f'containerd:image_config_digest:{self.digest}'),
            entry('/all', 'unix:uid:0', 'containerd:label:team:refunds', 'containerd:env:MODE=fast',
                  f'containerd:image_id:{IMAGE}', f'containerd:image_config_digest:{self.digest}'),
            entry('/other-label', 'containerd:label:team:payments'), entry('/other-env', 'containerd:env:MODE=slow')])
        refunds = self.run_workload(node, labels={'team': 'refunds'}, env={'MODE': 'fast'})
        plain = self.run_workload(node)
        everybody = [f'{ID}/{name}' for name in ('from-image', 'image', 'digest')]
        self.assertEqual(self.ids_in(refunds), [f'{ID}/label', f'{ID}/env', *everybody, f'{ID}/all'])
        self.assertEqual(self.ids_in(plain), everybody)
        node.refused()  # in no container

    def test_a_container_is_served_from_its_first_moment_on(self):
        node = self.agent([entry('/label', 'containerd:label:team:refunds')])
        made = self.runtime.run(mounts=self.client_mounts(node), labels={'team': 'refunds'}, command=self.FETCH)
        output = eventually(lambda: self.runtime.output(made), 20, 'that the container has written something')
        self.assertIn(f'{ID}/label', output)

    def test_values_are_those_that_the_runtimes_own_clients_show(self):
        labels = {'team': 'refunds:eu', 'io.kubernetes.pod.name': 'planner-0'}
        made = self.runtime.run(labels=labels, env={'MODE': 'fast', 'TOKEN': 'a=b "c" <d>'})
        crictl = self.runtime.inspect(made)
        self.assertEqual(crictl['status']['labels'], labels)
        ctr = json.loads(self.runtime.ctr('-n', 'k8s.io', 'containers', 'info', made))
        self.assertEqual(crictl['info']['runtimeSpec']['process']['env'], ctr['Spec']['process']['env'])
        image = json.loads(self.runtime.crictl('inspecti', crictl['status']['imageRef']))
        self.assertEqual(image['status']['id'], self.digest)
        variables = ctr['Spec']['process']['env']
        self.assertIn('TOKEN=a=b "c" <d>', variables)
        node = self.agent([entry(f'/env/{i}', f'containerd:env:{variable}') for i, variable in enumerate(variables)])
        seen = self.attest(node, crictl['info']['pid'])
        self.assertEqual([one['verdict'] for one in seen['entries']], ['earned'] * len(variables))
        self.assertEqual(self.found(node, crictl['info']['pid']), sorted([
            *(f'containerd:label:{name}:{value}' for name, value in crictl['status']['labels'].items()),
            *(f'containerd:env:{variable.split("=")[0]}=(not shown)' for variable in variables),
            f'containerd:image_id:{crictl["status"]["image"]["image"]}',
            f'containerd:image_config_digest:{image["status"]["id"]}']))

    def test_a_container_that_was_not_made_over_the_cri_has_no_selectors(self):
        node = self.agent([entry('/label', 'containerd:label:team:refunds')])
        name = secrets.token_hex(32)
        self.runtime.ctr('run', '--snapshotter', 'native', '-d', '--label', 'team=refunds', '--cgroup',
                         f'{self.runtime.cgroup}/{name}', self.import_for_ctr(), name)
        self.addCleanup(lambda: self.runtime.ctr('tasks', 'rm', '-f', name))
        pid = int(self.runtime.ctr('tasks', 'ls').splitlines()[1].split()[1])
        self.assertIn(name, pathlib.Path(f'/proc/{pid}/cgroup').read_text(encoding='ascii'))
        seen = self.attest(node, pid)
        self.assertEqual([one['verdict'] for one in seen['entries']], [])
        self.assertEqual(self.found(node, pid), [])
        self.assertNotIn('undetermined', json.dumps(seen))

    def test_values_of_a_containers_variables_reach_neither_the_log_nor_the_record(self):
        node = self.agent([entry('/env', 'containerd:env:MODE=fast')])
        for mode in ('fast', 'slow'):  # served, and denied
            self.call(self.run_workload(node, env={'MODE': mode, 'TOKEN': 's3cret'}))
        record = (node.data / 'audit/audit.jsonl').read_text(encoding='utf-8')
        self.assertEqual(record.count('containerd:env:TOKEN=(not shown)'), 2, record)
        for text in (record, node.log_text()):
            self.assertNotIn('s3cret', text)
            self.assertNotIn('MODE=slow', text)

    def import_for_ctr(self):
        self.runtime.ctr('images', 'import', '--snapshotter', 'native', self.runtime.dir / 'image.tar')
        return IMAGE

    def test_while_the_runtime_is_away_its_containers_are_told_why_and_after_its_return_they_are_served(self):
        node = self.agent([entry('/label', 'containerd:label:team:refunds')])
        first = self.runtime.run(labels={'team': 'refunds'})
        second = self.runtime.run(labels={'team': 'refunds'})
        pids = [self.runtime.pid(made) for made in (first, second)]
        self.assertIn('containerd:label:team:refunds', self.found(node, pids[0]))  # a connection is there now
        self.runtime.stop()
        seen = self.attest(node, pids[1])
        self.assertEqual([one['verdict'] for one in seen['entries']], ['undetermined'], seen)
        self.assertIn(f'container runtime at {self.runtime.socket}: ', json.dumps(seen))
        self.runtime.start()
        self.assertIn('containerd:label:team:refunds', self.found(node, pids[1]))

    def test_a_runtime_that_is_restarted_while_nobody_asks_is_not_noticed(self):
        node = self.agent([entry('/label', 'containerd:label:team:refunds')])
        made = [self.run_workload(node, labels={'team': 'refunds'}) for _ in range(2)]
        self.assertEqual(self.ids_in(made[0]), [f'{ID}/label'])
        self.runtime.stop()
        self.runtime.start()
        self.assertEqual(self.ids_in(made[1]), [f'{ID}/label'])

    def test_a_slow_runtime_delays_only_callers_whose_identities_depend_on_it(self):
        node = self.agent([entry('/label', 'containerd:label:team:refunds'), entry('/me', f'unix:uid:{UID}')],
                          timeout='500ms')
        pid = self.runtime.pid(self.runtime.run(labels={'team': 'refunds'}))
        self.runtime.process.send_signal(signal.SIGSTOP)
        seen = self.attest(node, pid)
        self.assertEqual([one['verdict'] for one in seen['entries']], ['undetermined'], seen)
        self.assertIn('did not answer in time', json.dumps(seen))
        self.assertEqual(node.fetch_ids(uid=UID), [f'{ID}/me'])
        self.runtime.process.send_signal(signal.SIGCONT)
        eventually(lambda: 'containerd:label:team:refunds' in self.found(node, pid), 10, 'that it is served again')

    def test_a_users_own_cgroup_named_like_a_container_of_the_runtime_gives_nothing(self):
        made = self.runtime.run(labels={'team': 'refunds'})
        node = self.agent([entry('/label', 'containerd:label:team:refunds')])
        for version in (1, 2):
            with self.subTest(version=version):
                cgroups = Cgroups(self, version)
                for path in (cgroups.make('user'), cgroups.make(f'user/cri-containerd-{made}.scope')):
                    for file in (path, path / 'cgroup.procs'):
                        os.chown(file, UID, UID)
                process = subprocess.Popen(['/bin/sleep', '600'], cwd='/', preexec_fn=drop_to(UID, path))
                self.addCleanup(process.wait)
                self.addCleanup(process.kill)
                self.assertIn(made, pathlib.Path(f'/proc/{process.pid}/cgroup').read_text(encoding='ascii'))
                self.assertEqual(self.found(node, process.pid), [])
                self.assertIn('no registry entry matches', node.refused(uid=UID, cgroup=path))

    def test_a_container_into_which_the_runtimes_socket_is_mounted_is_refused_and_told_why(self):
        node = self.agent([entry('/label', 'containerd:label:team:refunds')])
        link = self.runtime.dir / 'link'
        link.symlink_to(self.runtime.socket.parent)
        for mounted in (self.runtime.socket, self.runtime.socket.parent, link, pathlib.Path('/run')):
            with self.subTest(mounted=mounted):
                made = self.run_workload(node, labels={'team': 'refunds'}, mounts=[(mounted, '/host')])
                refusal = self.refusal_in(made)
                self.assertIn(f'{mounted} of the node is mounted into it', refusal)
                self.assertIn('run it without that mount', refusal)

    def test_a_socket_at_which_another_user_listens_is_not_believed(self):
        made = self.runtime.run(labels={'team': 'refunds'})
        pid = self.runtime.pid(made)
        shelf = self.runtime.dir / 'shelf'
        shelf.mkdir()
        script = ('import os, socket, sys, time\n'
                  'listener = socket.socket(socket.AF_UNIX)\nlistener.bind(sys.argv[1])\n'
                  'os.setresuid(*3 * [int(sys.argv[2])])\nlistener.listen()\n'
                  "print('listens', flush=True)\ntime.sleep(600)\n")
        node = self.started_node([entry('/label', 'containerd:label:team:refunds')],
                                 config={'attestors': {'containerd': {'socket': str(shelf / 'cri.sock')}}})
        theirs = node.start_lines(['/usr/bin/python3', '-c', script, shelf / 'cri.sock', UID])
        self.assertEqual(theirs.line(), 'listens\n')
        self.assertIn(f'uid {UID} answers there', json.dumps(self.attest(node, pid)))
        shelf.chmod(0o777)
        self.assertIn(f'{shelf} ', json.dumps(self.attest(node, pid)))
