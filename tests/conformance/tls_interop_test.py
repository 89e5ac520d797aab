"""Mutual TLS of our programs with other people's SPIFFE libraries and proxy, in both directions: go-spiffe 2.9.0,
Python's spiffe 0.3.2 with the standard ssl, and ghostunnel 1.8.4 in front of programs that speak plain text."""

import json
import pathlib
import socket
import threading

from node import EXIT_OK, shared_file
from peers import PEERS
from process import scaled
from spire import free_port
from tls_pair import ANSWER, REQUEST, PairTest

TLS_1_3 = ('TLS 1.3', 'TLSv1.3')  # as Go and as Python call it
GHOSTUNNEL = PEERS / 'bin/ghostunnel'


def read_until(program, *texts):
    """The next line of a program that has one of these texts."""
    while not any(text in (line := program.line(30)) for text in texts):
        pass
    return line


class PlainServer:
    """A server that knows nothing of TLS and greets everybody, on a Unix socket."""

    def __init__(self, test, path):
        self._listener = socket.create_server(str(path), family=socket.AF_UNIX)
        self.requests = []
        test.addCleanup(self._listener.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed
            with connection, connection.makefile('rw', encoding='utf-8') as file:
                print('hello from behind ghostunnel', file=file, flush=True)
                self.requests.append(file.readline().rstrip('\n'))
                print(ANSWER, file=file, flush=True)


class GhostunnelServer:
    """ghostunnel in front of a PlainServer."""

    def __init__(self, test, node, lets_in):
        self._test, self._lets_in = test, lets_in
        self._behind = PlainServer(test, node.dir / 'behind.sock')
        self._served = 0
        self.address = f'127.0.0.1:{free_port()}'
        self._program = node.start_lines([
            GHOSTUNNEL, 'server', '--use-workload-api-addr', f'unix://{node.socket}', '--listen', self.address,
            '--target', f'unix:{node.dir}/behind.sock', '--allow-uri', lets_in])
        read_until(self._program, 'listening for connections on')

    def saw(self):
        """ghostunnel lets in the one ID that --allow-uri names, and says no more than whether it did."""
        if 'error on TLS handshake' in read_until(self._program, 'error on TLS handshake', 'closed pipe'):
            self._test.assertEqual(len(self._behind.requests), self._served, 'what was behind it heard of the caller')
            return ''
        self._served += 1
        self._test.assertEqual(self._behind.requests[self._served - 1], REQUEST)
        return self._lets_in


class LibraryServer:
    """A program on a library, as a server: it reports every connection as a JSON object."""

    def __init__(self, node, command, lets_in, connections):
        self._program = node.start_lines([*command, 'tls-listen', '--peer', lets_in, '--connections', connections])
        self.address = self._program.json(30)['listening']

    def saw(self):
        report = self._program.json(30)
        if 'refused' in report:
            return ''
        assert report['request'] == REQUEST and report['version'] in TLS_1_3, report
        return report['peer']


class LibraryPairTest(PairTest):
    """Programs on a library that do the demo programs' conversation by the verbs tls-listen and tls-dial."""

    command = None
    made = None  # the stamp that tests/peers.sh leaves

    def setUp(self):
        if not (PEERS / self.made).exists():
            self.skipTest('the program is not there; tests/peers.sh makes it')
        self.program = self.command[0]

    def listen(self, lets_in, connections=1):
        return LibraryServer(self.test_node, self.command, lets_in, connections)

    def call(self, address, expects):
        done = self.test_node.run([*self.command, 'tls-dial', '--connect', address, '--peer', expects], seconds=60)
        report = json.loads(done.stdout.splitlines()[-1])
        if done.returncode != EXIT_OK:
            self.assertIn('error', report)
            return []
        self.assertEqual(report['peer'], expects)
        self.assertIn(report['version'], TLS_1_3)
        return [report['greeting'], report['answer']]


class GoSpiffeTlsTest(LibraryPairTest):
    command = [PEERS / 'bin/go-spiffe-peer']
    made = 'go-spiffe-peer.stamp'

    def test_our_agent_is_answered_by_spiffetls(self):
        self.our_agent_is_answered()

    def test_our_agent_is_answered_by_spiffetls_after_each_rotation(self):
        self.our_agent_is_answered_after_each_rotation()

    def test_our_agent_refuses_spiffetls_with_another_identity(self):
        self.our_agent_refuses_another_identity()

    def test_spiffetls_refuses_our_agent_which_says_so(self):
        self.our_agent_is_refused()

    def test_our_tool_answers_spiffetls(self):
        self.our_tool_answers()

    def test_our_tool_refuses_spiffetls_with_another_identity_and_serves_on(self):
        self.our_tool_refuses_another_identity_and_serves_on()

    def test_spiffetls_refuses_our_tool_which_serves_on(self):
        self.our_tool_is_refused_and_serves_on()


class PythonSslTest(LibraryPairTest):
    command = [PEERS / 'python/bin/python', shared_file(pathlib.Path(__file__).with_name('python') / 'tls.py')]
    made = 'python.stamp'

    def test_our_agent_is_answered_by_python(self):
        self.our_agent_is_answered()

    def test_our_agent_is_answered_by_python_after_each_rotation(self):
        self.our_agent_is_answered_after_each_rotation()

    def test_our_agent_refuses_python_with_another_identity(self):
        self.our_agent_refuses_another_identity()

    def test_python_refuses_our_agent_which_says_so(self):
        self.our_agent_is_refused()

    def test_our_tool_answers_python(self):
        self.our_tool_answers()

    def test_our_tool_refuses_python_with_another_identity_and_serves_on(self):
        self.our_tool_refuses_another_identity_and_serves_on()

    def test_python_refuses_our_tool_which_serves_on(self):
        self.our_tool_is_refused_and_serves_on()


class GhostunnelTest(PairTest):
    program = GHOSTUNNEL

    def setUp(self):
        if not PEERS.joinpath('ghostunnel.stamp').exists():
            self.skipTest('ghostunnel is not there; tests/peers.sh makes it')

    def listen(self, lets_in, connections=1):
        return GhostunnelServer(self, self.test_node, lets_in)

    def call(self, address, expects):
        """What a client that knows nothing of TLS hears through ghostunnel."""
        node = self.test_node
        front = node.dir / f'front-{expects.rsplit("/", 1)[-1]}.sock'
        tunnel = node.start_lines([
            GHOSTUNNEL, 'client', '--use-workload-api-addr', f'unix://{node.socket}', '--listen', f'unix:{front}',
            '--target', address, '--verify-uri', expects])
        try:
            read_until(tunnel, 'listening for connections on')
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(scaled(15))
                plain.connect(str(front))
                with plain.makefile('rw', encoding='utf-8') as file:
                    greeting = file.readline().rstrip('\n')
                    if not greeting:
                        return []
                    print(REQUEST, file=file, flush=True)
                    return [greeting, file.readline().rstrip('\n')]
        finally:
            tunnel.stop()
            front.unlink(missing_ok=True)

    def test_our_agent_is_answered_through_ghostunnel(self):
        self.our_agent_is_answered()

    def test_our_agent_is_answered_through_ghostunnel_after_each_rotation(self):
        self.our_agent_is_answered_after_each_rotation()

    def test_our_agent_refuses_ghostunnel_with_another_identity(self):
        self.our_agent_refuses_another_identity()

    def test_ghostunnel_refuses_our_agent_which_says_so(self):
        self.our_agent_is_refused()

    def test_our_tool_answers_through_ghostunnel(self):
        self.our_tool_answers()

    def test_our_tool_refuses_ghostunnel_with_another_identity_and_serves_on(self):
        self.our_tool_refuses_another_identity_and_serves_on()

    def test_ghostunnel_refuses_our_tool_which_serves_on(self):
        self.our_tool_is_refused_and_serves_on()
