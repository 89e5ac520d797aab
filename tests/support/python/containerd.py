"""A real containerd of a test's own, with its CRI, and crictl to make containers as a kubelet does.

Everything lies in one directory; shims, mounts and cgroups are taken away when the test ends.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from cgroups import kill_and_remove, tree
from images import busybox_root, directory_layer, write_archive
from node import eventually
from peers import PEERS
from process import scaled

IMAGE = 'lanyard.test/agent:v1'


def available():
    return all(map(shutil.which, ('containerd', 'ctr', 'runc', 'busybox'))) and (PEERS / 'bin/crictl').exists()


def write_image(path):
    """A Docker archive of one layer with busybox. Returns the digest of its configuration."""
    with tempfile.TemporaryDirectory() as directory:
        root, layer = pathlib.Path(directory, 'root'), pathlib.Path(directory, 'layer.tar')
        busybox_root(root)
        directory_layer(layer, root)
        return write_archive(path, IMAGE, [layer], {'Env': ['PATH=/bin', 'FROM_IMAGE=yes'],
                                                    'Entrypoint': ['/bin/busybox', 'sleep', '100000']})


class Containerd:
    """Started by start(); stopped with its containers when the test ends."""

    def __init__(self, test):
        self.test = test
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-containerd-', dir='/run'))
        self.socket = self.dir / 'run/containerd.sock'
        self.log = self.dir / 'containerd.log'
        self.cgroup = f'/lanyard-test-{os.getpid()}-{id(self):x}'
        self.process = None
        self.names = 0
        (self.dir / 'run').mkdir()
        (self.dir / 'cni').mkdir()
        self.config = self.dir / 'config.toml'
        self.config.write_text(f'''version = 2
root = "{self.dir}/root"
state = "{self.dir}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self.dir}/cni"
    conf_dir = "{self.dir}/cni"
''', encoding='utf-8')
        crictl = self.dir / 'crictl.yaml'
        crictl.write_text(f'runtime-endpoint: unix://{self.socket}\nimage-endpoint: unix://{self.socket}\ntimeout: 30\n',
                          encoding='utf-8')
        self.crictl_command = [PEERS / 'bin/crictl', '--config', crictl]
        test.addCleanup(self._remove)

    def start(self):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(['containerd', '--config', self.config], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd='/')
        eventually(self._serves, 30, f'that containerd serves the CRI on {self.socket}')
        return self

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f'containerd ended with {self.process.returncode}:\n{self.log.read_text(encoding="utf-8")}')
        return self._run([*self.crictl_command, 'info'], check=False).returncode == 0

    def stop(self):
        """Containers go on running: their shims are their own processes."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(scaled(20))

    def load_image(self):
        """Returns the digest of its configuration."""
        archive = self.dir / 'image.tar'
        digest = write_image(archive)
        self.ctr('-n', 'k8s.io', 'images', 'import', '--snapshotter', 'native', archive)
        eventually(lambda: IMAGE.split(':', maxsplit=1)[0] in self.crictl('images'), 20, 'that the CRI knows the image')
        return digest

    @staticmethod
    def _run(command, check=True, seconds=60):
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              timeout=scaled(seconds), cwd='/')
        if check and done.returncode != 0:
            raise AssertionError(f'{" ".join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}')
        return done

    def crictl(self, *arguments):
        return self._run([*self.crictl_command, *arguments]).stdout.strip()

    def ctr(self, *arguments):
        return self._run(['ctr', '--address', self.socket, *arguments]).stdout.strip()

    def run(self, labels=None, env=None, mounts=(), command=None):
        """Starts a container in a pod sandbox of its own on the host's network; returns its id. `mounts` are pairs: where on
        the node, where in the container."""
        self.names += 1
        name = f'c{self.names}'
        sandbox = self._json(f'{name}-sandbox', {
            'metadata': {'name': name, 'uid': f'uid-{name}', 'namespace': 'default', 'attempt': 0},
            'log_directory': str(self.dir),
            'linux': {'cgroup_parent': self.cgroup, 'security_context': {'namespace_options': {'network': 2}}}})
        container = self._json(name, {
            'metadata': {'name': name, 'attempt': 0},
            'image': {'image': IMAGE},
            **({'command': list(map(str, command))} if command else {}),
            'envs': [{'key': key, 'value': value} for key, value in (env or {}).items()],
            'labels': labels or {},
            'mounts': [{'host_path': str(host), 'container_path': str(inside)} for host, inside in mounts],
            'log_path': f'{name}.log',
            'linux': {'security_context': {'namespace_options': {'network': 2}}}})
        pod = self.crictl('runp', sandbox)
        made = self.crictl('create', pod, container, sandbox)
        self.crictl('start', made)
        return made

    def output(self, container):
        """What the container has written so far."""
        return self.crictl('logs', container)

    def inspect(self, container):
        return json.loads(self.crictl('inspect', container))

    def pid(self, container):
        return self.inspect(container)['info']['pid']

    def _json(self, name, value):
        path = self.dir / f'{name}.json'
        path.write_text(json.dumps(value), encoding='utf-8')
        return path

    def _remove(self):
        if self.test.failed() and self.log.exists():
            lines = self.log.read_text(encoding='utf-8', errors='replace').splitlines()[-60:]
            print('--- end of the log of containerd ---', *lines, '---', sep='\n')
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self._run([*self.crictl_command, 'rmp', '-fa'], check=False)
            self.stop()
        for pid in self._shims():  # of what crictl does not know, or could not stop
            os.kill(pid, signal.SIGKILL)
        for cgroup in tree(self.cgroup[1:]):
            eventually(lambda path=cgroup: kill_and_remove(path), 10, f'that {cgroup} can be removed')
        mounted = pathlib.Path('/proc/self/mounts').read_text(encoding='utf-8').splitlines()
        for line in reversed([line.split()[1] for line in mounted]):
            if line.startswith(f'{self.dir}/'):
                subprocess.run(['umount', '-l', line], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def _shims(self):
        """Of this containerd: they are told its socket."""
        for entry in pathlib.Path('/proc').iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / 'cmdline').read_bytes().split(b'\0')
            except OSError:
                continue
            if b'containerd-shim' in words[0] and os.fsencode(self.socket) in words:
                yield int(entry.name)
