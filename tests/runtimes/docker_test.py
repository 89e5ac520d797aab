"""The docker attestor beside real Docker and podman, beside spire-agent's, and under attack.

Where an engine would have to lie, or to be slow to order, a fake one answers; callers are then processes in a cgroup that root has
named as Docker does.
"""

import json
import os
import re
import secrets
import subprocess
import time

from cgroups import Cgroups
from engines import Docker, FakeEngine, Podman
from node import EXIT_OK, OTHER_UID, UID, NodeTest, entry, eventually, needs_root
from process import drop_to, scaled
from programs import PYTHON
from spire import Spire, spire_binary, spire_entry

PREFIX = 'spiffe://example.org'


class EngineTest(NodeTest):
    """What both engines' tests need; has no tests of its own."""

    def engine_node(self, socket, entries, podman=False, **attestor):
        key = 'podman_socket' if podman else 'socket'
        return self.started_node(entries, config=[('attestors', {'docker': {key: str(socket), **attestor}})])

    def attest(self, node, pid):
        done = node.cli('attest', pid, '--output', 'json')
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def denied(self, done, *reasons):
        """`lanyard fetch` got nothing at all, for these reasons."""
        self.assertNotEqual(done.returncode, EXIT_OK, done.stdout)
        self.assertEqual(done.stdout, '')
        for reason in reasons:
            self.assertIn(reason, done.stderr)

    def check_identities(self, engine, node, image, digest):
        node.register([
            entry('/label', 'docker:label:team:refunds'), entry('/env', 'docker:env:STAGE=prod'),
            entry('/secret', 'docker:env:TOKEN=hunter2'), entry('/image', f'docker:image_id:{image}'),
            entry('/digest', f'docker:image_config_digest:{digest}'),
            entry('/all', 'docker:label:team:refunds', 'docker:env:MODE=fast', f'docker:image_id:{image}'),
            entry('/other-label', 'docker:label:team:payments'), entry('/other-env', 'docker:env:MODE=slow'),
            entry('/half', 'docker:label:team:refunds', 'docker:env:MODE=slow')])
        node.hang_up()
        refunds = engine.run_with(node, '--label', 'team=refunds', '--env', 'MODE=fast', '--env', 'TOKEN=hunter2')
        payments = engine.run_with(node, '--label', 'team=payments')
        everybody = ['env', 'image', 'digest']
        eventually(lambda: engine.ids_in(refunds) == [f'{PREFIX}/{name}' for name in ('label', 'env', 'secret', 'image', 'digest', 'all')],
                   20, 'that the container has all that it earns')
        self.assertEqual(engine.ids_in(payments), [f'{PREFIX}/{name}' for name in (*everybody, 'other-label')])
        # The same program beside the containers, also as the user that the containers run as.
        self.denied(node.cli('fetch', 'x509'), 'no registration entry')
        self.denied(node.cli('fetch', 'x509', uid=UID), 'no registration entry')
        seen = self.attest(node, engine.inspect(refunds)['State']['Pid'])
        self.assertIn('docker:env:TOKEN=(not shown)', seen['selectors'])
        for place in (json.dumps(seen['selectors']), node.log_text(), (node.data / 'audit/audit.jsonl').read_text(encoding='utf-8')):
            self.assertNotIn('hunter2', place)

    def check_mounted_socket(self, engine, node, mount):
        node.register([entry('/label', 'docker:label:team:refunds'), entry('/root', 'unix:uid:0')])
        node.hang_up()
        container = engine.run_with(node, '--label', 'team=refunds', '-v', mount)
        refused = eventually(lambda: (done := engine.fetch_in(container)).returncode != 0 and done, 20, 'a refusal')
        self.assertIn('is mounted into it', refused.stderr.decode())


@needs_root('it starts Docker')
class DockerTest(EngineTest):
    def docker(self):
        return Docker(self).start().make_image()

    def test_a_container_has_the_identities_of_its_labels_variables_and_image_and_no_others(self):
        docker = self.docker()
        node = self.engine_node(docker.socket, [])
        digest = docker.cli('image', 'inspect', '--format', '{{.Id}}', 'agent:v1').stdout.decode().strip()
        self.check_identities(docker, node, 'agent:v1', digest)

    def test_it_finds_what_spire_agent_finds(self):
        if not (spire_binary('spire-agent') and spire_binary('spire-server')):
            self.skipTest('needs spire-server and spire-agent (tests/peers.sh compiled)')
        docker = self.docker()
        spire = Spire(self, attestors=f'WorkloadAttestor "docker" {{ plugin_data {{ docker_socket_path = "unix://{docker.socket}" }} }}',
                      log_level='DEBUG').start([spire_entry('/nobody', 'unix:uid:4242')])
        node = self.engine_node(docker.socket, [])
        container = docker.run_with(node, '--label', 'team=refunds', '--label', 'com.example.tier=gold', '--label', 'note=', '--label',
                                    'url=http://x:1', '--env', 'MODE=fast', '--env', 'EMPTY=', '--env', 'OPTIONS=a=b c', '-v',
                                    f'{spire.dir}:/spire:ro')
        docker.cli('exec', container, '/lanyard', 'fetch', 'x509', '--socket', 'unix:///spire/agent.sock', check=False)
        theirs = {f'{kind}:{value}' for kind, value in spire.selectors_seen() if kind == 'docker'}
        self.assertGreaterEqual(len(theirs), 9, theirs)
        # Each of them, as spire-agent has written it, is an identity here.
        wanted = sorted(theirs)
        node.register([entry(f'/n{number}', selector) for number, selector in enumerate(wanted)])
        node.hang_up()
        eventually(lambda: sorted(docker.ids_in(container)) == sorted(f'{PREFIX}/n{number}' for number in range(len(wanted))), 20,
                   'that each selector of spire-agent is found here')
        # And there are no others but the digest of the image's configuration, which spire-agent gives from 1.15 on. What is
        # shown of a variable is its name.
        ours = {selector for selector in self.attest(node, docker.inspect(container)['State']['Pid'])['selectors']
                if selector.startswith('docker:') and not selector.startswith('docker:image_config_digest:')}
        self.assertEqual(ours, {re.sub(r'^(docker:env:[^=]*=).*', r'\1(not shown)', selector) for selector in theirs})

    def test_a_container_that_has_the_engines_socket_gets_nothing(self):
        docker = self.docker()
        node = self.engine_node(docker.socket, [])
        self.check_mounted_socket(docker, node, f'{docker.socket}:/docker.sock')
        self.check_mounted_socket(docker, node, f'{docker.socket.parent}:/host:ro')

    def test_an_engine_that_is_away_stops_those_who_need_it_and_its_return_is_enough(self):
        docker = self.docker()
        node = self.engine_node(docker.socket, [entry('/label', 'docker:label:team:refunds'), entry('/user', f'unix:uid:{UID}')])
        first = docker.run_with(node, '--label', 'team=refunds')
        second = docker.run_with(node, '--label', 'team=refunds')
        cgroup = docker.cgroups(second)
        self.assertEqual(docker.ids_in(first), [f'{PREFIX}/label'])
        docker.stop()
        self.denied(node.cli('fetch', 'x509', cgroup=cgroup), 'is Docker running, and may the node agent reach it?')
        begun = time.monotonic()
        self.assertEqual(node.fetch_ids(uid=UID), [f'{PREFIX}/user'])
        self.assertLess(time.monotonic() - begun, scaled(1))
        docker.start()
        self.assertEqual(node.fetch_ids(cgroup=cgroup), [f'{PREFIX}/label'])


@needs_root('it makes cgroups')
class HostileEngineTest(EngineTest):
    """Attacks on the way between a container and the docker attestor, with an engine that does what it should not."""

    def setUp(self):
        self.cgroups = Cgroups(self)
        self.id = secrets.token_hex(32)

    def fake(self, node_entries=None, **attestor):
        """A node, the engine that it asks, and the cgroup of a container of that engine."""
        node = self.node(node_entries or [entry('/label', 'docker:label:team:refunds'), entry('/user', f'unix:uid:{OTHER_UID}')])
        engine = FakeEngine(self, node.dir / 'engine.sock')
        engine.answer = engine.container(self.id, Labels={'team': 'refunds'})
        node.write_config(more=[('attestors', {'docker': {'socket': str(node.dir / 'engine.sock'), **attestor}})])
        return node.start(), engine, self.cgroups.make(f'docker-{self.id}.scope')

    def test_an_honest_answer_is_believed(self):
        node, engine, container = self.fake()
        self.assertEqual(node.fetch_ids(uid=UID, cgroup=container), [f'{PREFIX}/label'])
        self.assertIn(f'GET /containers/{self.id}/json HTTP/1.1\r\n', engine.asked[0])

    def test_an_engine_that_says_nothing_delays_nobody_else_and_is_not_waited_for_longer_than_its_limit(self):
        node, engine, container = self.fake(timeout='1s')
        engine.answer = None
        slow = node.start_cli('fetch', 'x509', uid=UID, cgroup=container)
        eventually(lambda: engine.asked, what='that the engine is asked')
        begun = time.monotonic()
        self.assertEqual(node.fetch_ids(uid=OTHER_UID), [f'{PREFIX}/user'])
        self.assertLess(time.monotonic() - begun, scaled(0.5))
        self.assertIsNone(slow.process.poll())
        self.assertNotEqual(slow.wait(30), EXIT_OK)
        self.assertRegex(slow.error_text(), r'inspect container .*engine.sock: .* in time')

    def test_garbage_and_endless_answers_and_those_about_others_are_refused(self):
        other = secrets.token_hex(32)
        answers = {
            'what came is not HTTP': b'\x16\x03\x01\x02\x00garbage\r\n\r\n',
            'not JSON': b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"Id":x',
            'has no Config': b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}',
            'longer than 4194304 bytes': b'HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n' + b'x' * 52428800,
            'HTTP status 500': b'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n',
            'about another container': FakeEngine.container(other, Labels={'team': 'refunds'}),
            'does not run': FakeEngine.container(self.id, Labels={'team': 'refunds'}).replace(b'{"Running": true}',
                                                                                          b'{"Running":false}'),
        }
        node, engine, container = self.fake()
        before = node.resident_bytes()
        for reason, answer in answers.items():
            engine.answer = answer
            self.denied(node.cli('fetch', 'x509', uid=UID, cgroup=container), reason)
        self.assertLess(node.resident_bytes() - before, 40 << 20)
        self.assertEqual(node.fetch_ids(uid=OTHER_UID), [f'{PREFIX}/user'])

    def test_a_socket_that_the_workload_listens_at_is_not_believed(self):
        node, _, container = self.fake()
        node.stop()
        (node.dir / 'engine.sock').unlink()
        node.dir.chmod(0o1777)  # anybody may make a socket there, as in /tmp
        answer = FakeEngine.container(self.id, Labels={'team': 'refunds'})
        program = ('import socket, sys\nlistener = socket.socket(socket.AF_UNIX)\nlistener.bind(sys.argv[1])\nlistener.listen()\n'
                   'print("listening", flush=True)\nconnection, _ = listener.accept()\nprint(connection.recv(1), flush=True)\n'
                   f'connection.sendall({answer!r})\n')
        workload = node.start_lines([PYTHON, '-c', program, node.dir / 'engine.sock'], uid=UID)
        self.assertEqual(workload.line(), 'listening\n')
        node.start()
        self.denied(node.cli('fetch', 'x509', uid=UID, cgroup=container), 'engine.sock belongs to another user')
        # Nor when root has given the socket's name away to it: the kernel knows who listens.
        os.chown(node.dir / 'engine.sock', 0, 0)
        self.denied(node.cli('fetch', 'x509', uid=UID, cgroup=container), f'uid {UID} answers there')
        self.assertEqual(workload.line(), "b''\n", 'something was sent to it')

    def test_a_users_cgroup_named_like_a_container_names_none(self):
        node, engine, _ = self.fake()
        delegated = self.cgroups.make('user.service')
        for path in (delegated, *(delegated / name for name in ('cgroup.procs', 'tasks') if (delegated / name).exists())):
            os.chown(path, UID, UID)
        forged = delegated / f'docker-{self.id}.scope'
        subprocess.run(['mkdir', forged], preexec_fn=drop_to(UID), check=True)
        for uid in (UID, OTHER_UID, None):  # the user, another that it may become, and root's process that it was given
            done = node.cli('fetch', 'x509', uid=uid, cgroup=forged)
            self.assertNotIn('/label', done.stdout)
        self.assertEqual(engine.asked, [])

    def test_a_process_that_moves_while_the_engine_is_asked_gets_nothing(self):
        node, engine, container = self.fake()
        outside = self.cgroups.make('outside')
        engine.answer = None
        mover = node.start_cli('fetch', 'x509', uid=UID, cgroup=container)
        eventually(lambda: engine.asked, what='that the engine is asked')
        (outside / 'cgroup.procs').write_text(str(mover.pid), encoding='ascii')
        engine.answer = engine.container(self.id, Labels={'team': 'refunds'})
        engine.release.set()
        self.assertNotEqual(mover.wait(30), EXIT_OK)
        audit = (node.data / 'audit/audit.jsonl').read_text(encoding='utf-8').splitlines()
        self.assertEqual([line for line in audit if json.loads(line)['kind'] == 'issue'], [])


@needs_root('it starts podman')
class PodmanTest(EngineTest):
    def podman(self):
        return Podman(self).start().make_image()

    def test_a_container_has_the_identities_of_its_labels_variables_and_image_and_no_others(self):
        podman = self.podman()
        node = self.engine_node(podman.socket, [], podman=True)
        digest = 'sha256:' + podman.cli('image', 'inspect', '--format', '{{.Id}}', 'agent:v1').stdout.decode().strip()
        self.check_identities(podman, node, 'localhost/agent:v1', digest)

    def test_a_container_that_has_the_engines_socket_gets_nothing(self):
        podman = self.podman()
        self.check_mounted_socket(podman, self.engine_node(podman.socket, [], podman=True), f'{podman.socket}:/podman.sock')

