"""Container engines of a test's own: dockerd with its containerd, and podman's system service, each with everything it keeps in
a directory that goes when the test ends. Images are made here, of the host's own /usr; nothing is pulled.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from cgroups import mounts
from node import eventually, shared_binary
from process import scaled

IMAGE = 'agent:v1'
# A container that only is there, until it is removed.
IDLE = ('/usr/bin/sleep', '600')


class Engine:
    """What Docker and podman have in common. `program` is its command line."""

    cgroup_parent = None

    def __init__(self, test, daemon):
        if os.geteuid() != 0 or shutil.which(daemon) is None:
            test.skipTest(f'needs root and {daemon} (deploy/packages.sh full)')
        self.test, self.process = test, None
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-engine-', dir='/tmp'))
        self.dir.chmod(0o755)
        self.socket = self.dir / 'api/engine.sock'
        self.socket.parent.mkdir()
        self.log = self.dir / 'log'
        test.addCleanup(self._remove)

    def start(self):
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(list(map(str, self.daemon())), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment(), cwd='/', start_new_session=True)
        eventually(self._serves, 30, f'that an engine serves at {self.socket}')
        return self

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the engine ended:\n{self.log.read_text(encoding="utf-8", errors="replace")[-3000:]}')
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0 and self.cli('version', check=False).returncode == 0

    def stop(self):
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(scaled(20))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def environment(self):
        return {**os.environ, 'XDG_RUNTIME_DIR': str(self.dir)}

    def cli(self, *arguments, check=True, data=None, seconds=60):
        done = subprocess.run(list(map(str, [*self.program(), *arguments])), input=data, capture_output=True, check=False,
                              env=self.environment(), cwd='/', timeout=scaled(seconds))
        if check and done.returncode != 0:
            raise AssertionError(f'{" ".join(map(str, arguments))}: {done.stderr.decode()}')
        return done

    def make_image(self):
        """An image with nothing in it but the places for the host's /usr."""
        root = self.dir / 'image'
        for name in ('bin', 'sbin', 'lib', 'lib64'):
            root.mkdir(exist_ok=True)
            (root / name).symlink_to(f'usr/{name}')
        for name in ('usr', 'etc', 'proc', 'sys', 'dev', 'tmp', 'run'):
            (root / name).mkdir()
        tar = subprocess.run(['tar', '-C', root, '-c', '.'], capture_output=True, check=True).stdout
        self.cli('import', '--change', 'ENV STAGE=prod', '-', IMAGE, data=tar)
        return self

    def run(self, *options, command=IDLE):
        """The id of a new container; options as for `docker run`."""
        started = self.cli('run', '--detach', '--network', 'none', *self.run_options, '-v', '/usr:/usr:ro', *options, IMAGE,
                           *command)
        return started.stdout.decode().split()[-1]

    def run_with(self, node, *options):
        """The same, where the node's workload socket and our program are at hand."""
        return self.run('-v', f'{node.socket.parent}:/run/lanyard:ro', '-v', f'{shared_binary("lanyard")}:/lanyard:ro',
                        *options)

    def fetch_in(self, container):
        """How `lanyard fetch x509` in a container that was started by run_with ended."""
        return self.cli('exec', container, '/lanyard', 'fetch', 'x509', '--output', 'json', '--socket',
                        'unix:///run/lanyard/workload.sock', check=False)

    def ids_in(self, container):
        done = self.fetch_in(container)
        if done.returncode != 0:
            raise AssertionError(f'fetch in {container}: {done.stdout.decode()}{done.stderr.decode()}')
        return [svid['spiffe_id'] for svid in json.loads(done.stdout)['svids']]

    def inspect(self, container):
        return json.loads(self.cli('inspect', container).stdout)[0]

    def cgroups(self, container):
        """The container's in each hierarchy: a process of the host that enters them is in its place."""
        pid = self.inspect(container)['State']['Pid']
        found = []
        for line in pathlib.Path(f'/proc/{pid}/cgroup').read_text(encoding='utf-8').splitlines():
            _, controllers, path = line.split(':', 2)
            mounted = mounts('cgroup', controllers) if controllers else mounts('cgroup2')
            found += [mount / path.lstrip('/') for mount in mounted[:1]]
        return found

    def _remove(self):
        if self.process is not None:
            listed = self.cli('ps', '--all', '--quiet', '--no-trunc', check=False).stdout.decode().split()
            if listed:
                self.cli('rm', '--force', *listed, check=False)
            self.stop()
        listing = pathlib.Path('/proc/self/mountinfo').read_text(encoding='utf-8').splitlines()
        for point in sorted((line.split()[4] for line in listing), reverse=True):
            if point.startswith(f'{self.dir}/'):
                subprocess.run(['umount', '--lazy', point], capture_output=True, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        for mount in [*mounts('cgroup'), *mounts('cgroup2')]:
            for name in (f'{self.cgroup_parent}/conmon', self.cgroup_parent):
                try:
                    (mount / name).rmdir()
                except OSError:
                    pass  # not there, or somebody else's containers are in it


class Docker(Engine):
    run_options = ()

    def __init__(self, test):
        super().__init__(test, '/usr/sbin/dockerd')
        self.cgroup_parent = f'lanyard-docker-{os.getpid()}'

    def program(self):
        return ['/usr/bin/docker', '--host', f'unix://{self.socket}']  # Debian's, whatever else is in PATH

    def daemon(self):
        return ['/usr/sbin/dockerd', '--host', f'unix://{self.socket}', '--data-root', self.dir / 'data', '--exec-root',
                self.dir / 'exec', '--pidfile', self.dir / 'pid', '--cgroup-parent', f'/{self.cgroup_parent}', '--bridge=none',
                '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false', '--storage-driver=vfs',
                '--live-restore']


class Podman(Engine):
    # The defaults raise limits, which a machine may not allow.
    run_options = ('--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024')
    cgroup_parent = 'libpod_parent'

    def __init__(self, test):
        super().__init__(test, '/usr/bin/podman')
        (self.dir / 'containers.conf').write_text('[engine]\nlock_type = "file"\nevents_logger = "none"\n', encoding='utf-8')

    def environment(self):
        return {**super().environment(), 'CONTAINERS_CONF': str(self.dir / 'containers.conf')}

    def program(self):
        return ['/usr/bin/podman', '--root', self.dir / 'root', '--runroot', self.dir / 'runroot', '--tmpdir', self.dir / 'tmp',
                '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs']

    def daemon(self):
        return [*self.program(), 'system', 'service', '--time', '0', f'unix://{self.socket}']


class FakeEngine:
    """Answers at a socket what a test wants it to: no real engine lies, or can be made to wait."""

    def __init__(self, test, path):
        self.answer, self.asked, self.release = b'', [], threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()
        test.addCleanup(self._close)

    @staticmethod
    def container(container_id, **config):
        """The answer of an honest engine."""
        body = json.dumps({'Id': container_id, 'State': {'Running': True}, 'Image': f'sha256:{"0" * 64}', 'Mounts': [],
                           'Config': config}).encode()
        return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) + body

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            request = b''
            while more := connection.recv(4096):
                request += more
                if request.endswith(b'\r\n\r\n'):
                    self.asked.append(request.decode())
                    request = b''
                    if self.answer is None:  # says nothing until it is told to
                        self.release.wait(60)
                    try:
                        connection.sendall(self.answer or b'')
                    except OSError:
                        return

    def _close(self):
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
