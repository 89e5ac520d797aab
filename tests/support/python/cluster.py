"""A real Kubernetes of one node for tests: API server, controllers, scheduler, kubelet, kube-proxy, etcd and containerd, in
namespaces of their own (cluster_node.py); nothing is pulled, and nothing leaves or enters but by what this class offers.

Any process may go on with a cluster by its state directory. It needs root, `deploy/packages.sh full` and `tests/peers.sh
kubernetes`. Run as a program it is the command that tests/kubernetes/cluster.sh describes.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from cluster_keys import make_keys
from cluster_node import ENVIRONMENT, NAME, ClusterError, ClusterNode, until
from cluster_programs import BUSYBOX, CLIENTS, PKI, SERVER, SERVERS, commands, configuration
from images import busybox_root, directory_layer, write_archive
from peers import PEERS

NEEDED = ('unshare', 'nsenter', 'ip', 'nft', 'openssl', 'busybox', 'containerd', 'ctr', 'runc', 'etcd', '/usr/lib/cni/ptp')


def missing():
    """What a cluster needs and is not here, in words; empty where one can be started."""
    if os.geteuid() != 0:
        return 'root'
    if absent := [name for name in NEEDED if not shutil.which(name)]:
        return f'{", ".join(absent)} (deploy/packages.sh full)'
    if absent := [name for name in ('kubectl', 'kube-proxy', 'kubelet') if not (PEERS / 'bin' / name).exists()]:
        return f'{", ".join(absent)} (tests/peers.sh kubernetes)'
    return ''


class Cluster:
    """The cluster in one state directory, running or not. Errors are ClusterError. Thread: one at a time; other processes may
    use it meanwhile, but for up() and down(), which wait for each other."""

    def __init__(self, state):
        self.node = ClusterNode(state)
        self.state = self.node.state

    def up(self, read_only_port=0):
        """Starts it, or what of it does not run, and returns when its node is ready. After power_off() it is what it was.
        `read_only_port` is the kubelet's port for anybody, usually 10255; 0 is none. Where it fails nothing runs, unless
        something ran before."""
        if lacking := missing():
            raise ClusterError(f'start a cluster in {self.state}: it needs {lacking}')
        self.state.mkdir(mode=0o711, parents=True, exist_ok=True)
        with self._locked():
            booted = self.node.init() is None
            try:
                if booted:
                    self.node.boot()
                self._configure(read_only_port)
                self._start_programs()
            except BaseException:
                if booted:
                    self.node.power_off()
                raise
        return self

    def power_off(self):
        """Everything on the node ends at once. Its disk stays, and so does what etcd knows."""
        with self._locked():
            self.node.power_off()

    def down(self):
        """The same, and nothing of it is left, on the disk neither."""
        if self.state.exists():
            with self._locked():
                self.node.remove()

    def kubectl(self, *arguments, text=None, seconds=120):
        """What kubectl prints; `text` is its standard input."""
        return self.node.must(*self.kubectl_command(*arguments), text=text, seconds=seconds)

    @staticmethod
    def kubectl_command(*arguments):
        """As it is run on the node, by an administrator."""
        return [PEERS / 'bin/kubectl', f'--kubeconfig={PKI}/admin.conf', *arguments]

    def get(self, *what):
        """One object, or a list with "items", as `kubectl get` finds it."""
        return json.loads(self.kubectl('get', '--output=json', *what))

    def apply(self, *objects):
        """Creates or changes them; each is a dictionary, or text of a manifest."""
        texts = (one if isinstance(one, str) else json.dumps(one) for one in objects)
        return self.kubectl('apply', '--filename=-', text='\n---\n'.join(texts))

    def wait_for(self, what, condition='condition=Ready', namespace='default', seconds=120):
        """Until an object such as "pod/a" is there, and fulfils what `kubectl wait --for` understands."""
        common = (what, f'--namespace={namespace}', f'--timeout={seconds}s')
        try:
            self.kubectl('wait', '--for=create', *common, seconds=seconds + 30)
            if condition != 'create':
                self.kubectl('wait', f'--for={condition}', *common, seconds=seconds + 30)
        except ClusterError as error:
            about = self.node.run(*self.kubectl_command('describe', what, f'--namespace={namespace}')).stdout
            raise ClusterError(f'{error}\n{about}') from None

    def exec(self, pod, *command, namespace='default', container=None, seconds=60):
        """How a command in a pod ended, with what it printed."""
        which = [f'--container={container}'] if container else []
        return self.node.run(*self.kubectl_command('exec', f'--namespace={namespace}', pod, *which, '--', *command), seconds=seconds)

    def logs(self, pod, *options, namespace='default'):
        return self.kubectl('logs', f'--namespace={namespace}', pod, *options)

    def token(self, service_account, namespace='default', audience=None):
        """A token of a service account."""
        options = [f'--audience={audience}'] if audience else []
        return self.kubectl('create', 'token', service_account, f'--namespace={namespace}', *options).strip()

    def static_pod(self, name, manifest):
        """Gives the kubelet a pod (a dictionary, or text) by itself; the API server shows it as NAME-node1. None takes it away."""
        file = self.node.path(f'/etc/kubernetes/manifests/{name}.yaml')
        if manifest is None:
            file.unlink()
            return
        part = file.with_name(f'.{name}')  # the kubelet passes over it
        part.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest), encoding='utf-8')
        part.replace(file)

    def load(self, archive):
        """Imports an image archive of Docker or OCI, with the names that are in it."""
        with open(archive, 'rb') as file:
            self.node.must('ctr', '--namespace=k8s.io', 'images', 'import', '-', stdin=file, seconds=300)

    def make_image(self, name, *sources):
        """Makes the image `name` out of directories and uncompressed tar files, each a layer at /, and imports it. Pods use it
        with imagePullPolicy Never, and name their command."""
        with tempfile.TemporaryDirectory(dir=self.state) as directory:
            layers = []
            for number, source in enumerate(map(pathlib.Path, sources)):
                layers.append(source)
                if source.is_dir():
                    layers[-1] = pathlib.Path(directory, f'{number}.tar')
                    directory_layer(layers[-1], source)
            archive = pathlib.Path(directory, 'image.tar')
            write_archive(archive, name, layers, {'Env': ['PATH=/usr/local/bin:/usr/bin:/bin'], 'Cmd': ['sleep', 'infinity']})
            self.load(archive)

    @contextlib.contextmanager
    def _locked(self):
        with open(self.state / 'lock', 'w', encoding='ascii') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _configure(self, read_only_port):
        """Writes what is below /etc on the node. A kubelet whose file has changed is stopped."""
        etc = self.node.path('/etc')
        if not (etc / 'kubernetes/pki').exists():
            shutil.rmtree(etc / 'kubernetes.new', ignore_errors=True)
            make_keys(etc / 'kubernetes.new/pki', SERVER, SERVERS, CLIENTS)
            (etc / 'kubernetes.new/manifests').mkdir()
            (etc / 'kubernetes.new').rename(etc / 'kubernetes')
        for name, text in configuration(self.node.cgroup, read_only_port).items():
            file = etc / name
            if file.exists() and file.read_text(encoding='utf-8') == text:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding='utf-8')
            if file.stem == 'kubelet' and self.node.running('kubelet'):
                self.node.stop('kubelet')

    def _start_programs(self):
        programs = commands()

        def start(*names):
            for name in names:
                if not self.node.running(name):
                    self.node.start(name, *programs[name])
        start('etcd', 'containerd', 'kube-apiserver')
        self._until_it_answers('containerd', 'ctr', 'version')
        self._make_busybox()
        self._until_it_answers('kube-apiserver', *self.kubectl_command('get', '--raw=/readyz'))
        start('kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy')
        self._until_it_answers('kubelet', *self.kubectl_command('get', f'node/{NAME}'))
        self.wait_for(f'node/{NAME}')
        self.wait_for('serviceaccount/default', 'create')

    def _until_it_answers(self, name, *check):
        def answers():
            if not self.node.running(name):
                raise ClusterError(f'{name} ended:\n{self.node.log_end(name)}')
            return self.node.run(*check).returncode == 0
        until(answers, 180, f'that {name} answers (its log: {self.node.log(name)})')

    def _make_busybox(self):
        if BUSYBOX not in self.node.must('ctr', '--namespace=k8s.io', 'images', 'list', '--quiet').split():
            with tempfile.TemporaryDirectory(dir=self.state) as directory:
                busybox_root(pathlib.Path(directory, 'root'))
                self.make_image(BUSYBOX, pathlib.Path(directory, 'root'))


def main():
    parser = argparse.ArgumentParser(prog='cluster.sh', add_help=False)
    parser.add_argument('--state', required=True)
    parser.add_argument('--read-only-port', type=int, default=0)
    parser.add_argument('verb', choices=('up', 'off', 'down', 'image', 'load', 'kubectl', 'run'))
    parser.add_argument('rest', nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if len(asked.rest) < {'image': 2, 'load': 1, 'run': 1}.get(asked.verb, 0):
        parser.error(f'too few arguments of {asked.verb}')
    os.umask(0o022)
    try:
        cluster = Cluster(asked.state)
        if asked.verb == 'up':
            cluster.up(asked.read_only_port)
        elif asked.verb == 'off':
            cluster.power_off()
        elif asked.verb == 'down':
            cluster.down()
        elif asked.verb == 'image':
            cluster.make_image(*asked.rest)
        elif asked.verb == 'load':
            for archive in asked.rest:
                cluster.load(archive)
        else:
            command = cluster.kubectl_command(*asked.rest) if asked.verb == 'kubectl' else asked.rest
            command = cluster.node.command(*command)
            os.execvpe(command[0], command, {**ENVIRONMENT, 'TERM': os.environ.get('TERM', 'dumb')})
    except (ClusterError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f'cluster: {error}')


if __name__ == '__main__':
    main()
