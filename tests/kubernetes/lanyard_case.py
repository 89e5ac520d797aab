"""What tests share that use the node agent of a run of ctest: deployed in the cluster by its manifests, with pods that mount its socket."""

import json
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from cluster_case import ClusterCase, pod
from cluster_node import until
from node import BUILD, EXIT_DENIED, ROOT

MANIFESTS = ROOT / 'deploy/kubernetes'
SYSTEM, SAMPLE = 'lanyard-system', 'lanyard-sample'
WORKLOAD, OTHER_WORKLOAD = 'lanyard.test/workload:1', 'lanyard-sample:dev'  # only the former has a shell and sleeps
MOUNT = {'name': 'lanyard', 'mountPath': '/run/lanyard', 'readOnly': True}
VOLUME = {'name': 'lanyard', 'hostPath': {'path': '/run/lanyard', 'type': 'Directory'}}
FETCH = ('lanyard', 'fetch', 'x509', '--output', 'json')
WATCH = ('lanyard', 'watch', 'x509', '--output', 'json')
PREFIX = 'spiffe://example.org'


def image(*options):
    """The archive of an image that deploy/image.sh makes of the programs of this build; made anew when they have changed."""
    archive = BUILD / f'image/lanyard{"".join(options).replace("--", "-")}.tar'
    programs = [BUILD / 'lanyard', *(BUILD / 'deploy/demo/mtls').glob('lanyard-demo-*')]
    if not archive.exists() or archive.stat().st_mtime < max(program.stat().st_mtime for program in programs):
        subprocess.run([ROOT / 'deploy/image.sh', *options, '--programs', BUILD, '--out', archive], check=True)
    return archive


def load_images(cluster):
    """Those of the manifests, and WORKLOAD: the sample's programs with a shell."""
    sample = image('--sample')
    cluster.load(image())
    cluster.load(sample)
    with tempfile.TemporaryDirectory(dir=BUILD) as directory, tarfile.open(sample) as archive:
        names = {pathlib.PurePath(name).as_posix(): name for name in archive.getnames()}
        layer = names[json.load(archive.extractfile(names['manifest.json']))[0]['Layers'][0]]
        archive.extract(layer, directory, filter='data')
        shell = pathlib.Path(directory, 'shell')
        busybox_layer(shell)
        cluster.make_image(WORKLOAD, pathlib.Path(directory, layer), shell)


def busybox_layer(root):
    """The programs that tests use in pods."""
    (root / 'bin').mkdir(parents=True)
    shutil.copy(shutil.which('busybox'), root / 'bin/busybox')
    for name in ('cat', 'find', 'id', 'ls', 'mount', 'mv', 'readlink', 'rm', 'sh', 'sleep', 'touch'):
        (root / 'bin' / name).symlink_to('busybox')


def make_issuer(directory):
    """The files of the Secret, by the commands of docs/KUBERNETES.md."""
    page = (ROOT / 'docs/KUBERNETES.md').read_text(encoding='utf-8')
    block = next(part for part in page.split('```') if 'openssl req -x509 -CA' in part).removeprefix('sh\n')
    commands, _, _ = block.partition('kubectl')
    subprocess.run(['sh', '-ec', commands], cwd=directory, check=True, capture_output=True)


def workload(name, *command, image=WORKLOAD, labels=None, mount=MOUNT, **spec):
    """A pod with the agent's socket."""
    made = pod(name, *command, labels=labels, volumes=[VOLUME], **spec)
    made['spec']['containers'][0] |= {'image': image, 'volumeMounts': [mount]}
    return made


def entry(path, *selectors, **fields):
    return {'spiffe_id': f'{PREFIX}{path}', 'selectors': [f'k8s:{selector}' for selector in selectors], **fields}


class LanyardCase(ClusterCase):
    def agent_pod(self):
        """The object of the agent's pod."""
        [found] = [one for one in self.cluster.get('pods', '--namespace', SYSTEM, '--selector=app.kubernetes.io/name=lanyard')['items']
                   if 'deletionTimestamp' not in one['metadata']]
        return found

    def pids(self, pod, container=None, kind='containerStatuses'):
        """On the node, of all that runs in a container of a pod (an object), its first one or the one of that name; the first of them is the
        container's first process."""
        status = next(one for one in pod['status'][kind] if container in (None, one['name']))
        container_id = status['containerID'].removeprefix('containerd://')
        tasks = self.cluster.node.must('ctr', '--namespace=k8s.io', 'tasks', 'ps', container_id).splitlines()
        return [int(line.split()[0]) for line in tasks[1:]]

    def rolled_out(self, seconds=120):
        """Waits until the DaemonSet is as its object wants it."""
        self.cluster.kubectl('rollout', 'status', 'daemonset/lanyard', f'--namespace={SYSTEM}', f'--timeout={seconds}s',
                             seconds=seconds + 10)

    def agent(self, *command):
        """How a command of the agent's program ended, in its container."""
        return self.cluster.exec('daemonset/lanyard', 'lanyard', *command, namespace=SYSTEM, container='lanyard')

    def register(self, *entries):
        """Adds a file to the registry's ConfigMap, and waits until the agent has read it."""
        file = f'{self.namespace}.yaml'
        self.addCleanup(self._patch_registry, file, None)
        self._patch_registry(file, json.dumps({'entries': entries}))
        until(lambda: all(one['spiffe_id'] in self.agent('registry', 'list').stdout for one in entries), 120,
              f'that the agent has read {file}')

    def _patch_registry(self, file, text):
        self.cluster.kubectl('patch', 'configmap', 'lanyard-registry', f'--namespace={SYSTEM}', '--type=merge',
                             f'--patch={json.dumps({"data": {file: text}})}')

    def service_accounts(self, *names):
        for name in names:
            self.cluster.kubectl('create', 'serviceaccount', name, f'--namespace={self.namespace}')

    def fetch_ids(self, name, **where):
        """The identities of a container that has a shell; what it says where it has none."""
        done = self.fetch(name, **where)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return {svid['spiffe_id'].removeprefix(PREFIX) for svid in json.loads(done.stdout)['svids']}

    def fetch(self, name, **where):
        return self.cluster.exec(name, *FETCH, **{'namespace': self.namespace, **where})

    def refused(self, name, **where):
        """What it is told; it must be refused for good."""
        done = self.fetch(name, **where)
        self.assertEqual(done.returncode, EXIT_DENIED, done.stdout + done.stderr)
        return done.stderr

    def updates(self, name, *options):
        """What `lanyard watch` has printed in a pod, as objects."""
        lines = self.cluster.logs(name, *options, namespace=self.namespace).splitlines()
        return [json.loads(line) for line in lines if line.startswith('{')]

    def ids_now(self, name):
        """The identities in the last update of such a pod."""
        seen = self.updates(name, '--tail=5')
        return {svid['spiffe_id'].removeprefix(PREFIX) for svid in seen[-1]['svids']} if seen else set()
