"""Mutual TLS of our programs with `openssl s_client` and `s_server`, which use the files of `lanyard fetch x509 --write`.

openssl knows nothing of SPIFFE IDs: it believes whoever has a certificate of an authority in bundle.pem. It does resume
sessions, and speaks older versions of TLS, when the other side lets it.
"""

import queue
import re
import subprocess
import threading

from node import EXIT_OK, eventually, shared_binary
from process import scaled
from tls_pair import AGENT, ANSWER, IMPOSTOR, PEER, REQUEST, TOOL, PairTest, Tool

NEW, REUSED = 'New, TLSv1.3', 'Reused, TLSv1.3'


def uris_of(certificate):
    """The URI SANs of a certificate in PEM."""
    done = subprocess.run(['openssl', 'x509', '-noout', '-ext', 'subjectAltName'], input=certificate, capture_output=True,
                          text=True, check=True)
    return re.findall(r'URI:([^,\s]+)', done.stdout)


class Server:
    """openssl s_server, which greets whose certificate it believes."""

    def __init__(self, test, node, files, authorities, *options):
        self._test = test
        # Line by line: into a pipe it would write when its buffer is full.
        self._program = node.start_lines([
            'stdbuf', '-oL', 'openssl', 's_server', '-accept', '127.0.0.1:0', *files_as_options(files), '-CAfile', authorities,
            '-Verify', '3', '-verify_return_error', *options])
        while not (line := self._program.line()).startswith('ACCEPT '):
            pass
        self.address = line.split()[1]
        self._ended = queue.Queue()
        threading.Thread(target=self._converse, daemon=True).start()

    def _converse(self):
        output = ''
        while True:
            try:
                line = self._program.line(120)
            except AssertionError:
                return  # stopped
            output += line
            if line.startswith('CIPHER is '):  # the handshake is over, with a client that it believes
                self._say('hello from openssl')
            elif line == f'{REQUEST}\n':
                self._say(ANSWER)
            elif line == 'CONNECTION CLOSED\n':
                self._ended.put(output)
                output = ''

    def _say(self, text):
        print(text, file=self._program.process.stdin, flush=True)

    def saw(self):
        """Waits for the end of the next connection; the ID of the client that was let in, or ''."""
        output = self._ended.get(timeout=scaled(30))
        if f'\n{REQUEST}\n' not in output:
            return ''
        self._test.assertNotIn('Reused session-id', output)
        [name] = uris_of(output[output.index('Client certificate'):])
        return name


def files_as_options(files):
    return ['-cert', files / 'svid.pem', '-key', files / 'svid.key']


class OpensslPairTest(PairTest):
    program = shared_binary('lanyard')  # fetches the files

    def start(self, *arguments, **options):
        super().start(*arguments, **options)
        self.files = self.fetch_files(self.test_node)

    def fetch_files(self, node):
        files = node.dir / 'files'
        done = node.cli('fetch', 'x509', '--write', files)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        return files

    def stranger_files(self):
        """Those of another node agent, whose authority has signed nobody here, for the same SPIFFE ID."""
        return self.fetch_files(self.started_node(self.entries(PEER)))

    def serve(self, *options, authorities=None):
        return Server(self, self.test_node, self.files, authorities or self.files / 'bundle.pem', *options)

    def listen(self, lets_in, connections=1):
        return self.serve('-tls1_3')

    def s_client_command(self, address, *options, identity=None, authorities=None):
        return ['openssl', 's_client', '-connect', address, *(files_as_options(self.files) if identity is None else identity),
                '-CAfile', authorities or self.files / 'bundle.pem', '-verify_return_error', *options]

    def s_client(self, address, *options, **how):
        """s_client that says its line after the handshake and stays until the server has had enough."""
        return subprocess.run(
            self.s_client_command(address, '-ign_eof', *options, **how), input=f'{REQUEST}\n', capture_output=True, text=True,
            check=False, timeout=scaled(30))

    def call(self, address, expects, **how):
        return self.s_client(address, '-tls1_3', '-quiet', **how).stdout.splitlines()

    def started_tool(self):
        self.start()
        return Tool(self.test_node, PEER)

    def is_answered(self, tool):
        self.assertEqual(self.call(tool.address, TOOL), [f'hello {PEER}', ANSWER])


class OpensslTest(OpensslPairTest):
    def test_our_agent_is_answered_by_s_server(self):
        self.our_agent_is_answered()

    def test_our_agent_refuses_s_server_with_another_identity(self):
        self.our_agent_refuses_another_identity()

    def test_s_server_refuses_our_agent_of_another_authority_which_says_so(self):
        self.start()
        self.refuses_our_agent(self.serve(authorities=self.stranger_files() / 'bundle.pem'))

    def test_our_tool_answers_s_client(self):
        self.our_tool_answers()

    def test_our_tool_refuses_s_client_with_another_identity_and_serves_on(self):
        self.start(IMPOSTOR)
        tool = Tool(self.test_node, PEER)
        self.assertEqual(self.call(tool.address, TOOL), [])
        self.assertIn(IMPOSTOR, tool.says('refused a caller'))
        self.test_node.register(self.entries(PEER))
        eventually(lambda: self.fetch_files(self.test_node) and uris_of((self.files / 'svid.pem').read_text()) == [PEER])
        self.is_answered(tool)

    def test_s_client_refuses_our_tool_of_another_authority_which_serves_on(self):
        tool = self.started_tool()
        self.assertEqual(self.call(tool.address, TOOL, authorities=self.stranger_files() / 'bundle.pem'), [])
        tool.says('refused a caller')
        self.is_answered(tool)


class OpensslVersionTest(OpensslPairTest):
    def test_our_tool_refuses_tls_1_2_and_serves_on(self):
        tool = self.started_tool()
        done = self.s_client(tool.address, '-tls1_2')
        self.assertIn('alert protocol version', done.stderr)
        self.assertNotIn('hello', done.stdout)
        self.assertIn('protocol', tool.says('refused a caller'))
        self.is_answered(tool)

    def test_our_agent_refuses_tls_1_2(self):
        self.start()
        done = self.run_agent(self.serve('-tls1_2').address)
        self.assertNotEqual(done.returncode, EXIT_OK, done)
        self.assertIn('protocol', done.stderr)
        self.assertNotIn(ANSWER, done.stdout)


class OpensslNobodyTest(OpensslPairTest):
    def test_our_tool_refuses_a_client_without_a_certificate_and_serves_on(self):
        tool = self.started_tool()
        done = self.s_client(tool.address, identity=[])
        self.assertIn('alert certificate required', done.stderr)
        self.assertNotIn('hello', done.stdout)
        tool.says('refused a caller')
        self.is_answered(tool)

    def test_our_tool_refuses_a_client_of_another_authority_and_serves_on(self):
        tool = self.started_tool()
        self.assertEqual(self.call(tool.address, TOOL, identity=files_as_options(self.stranger_files())), [])
        tool.says('refused a caller')
        self.is_answered(tool)


class OpensslResumptionTest(OpensslPairTest):
    """A resumed session is not checked again, and would outlive the certificate and its revocation."""

    def test_s_client_gets_no_session_from_our_tool_to_come_back_with(self):
        tool = self.started_tool()
        session = self.test_node.dir / 'session.pem'
        self.assertIn(NEW, self.s_client(tool.address, '-sess_out', session).stdout)
        self.assertFalse(session.exists())
        # The same with a server that does give tickets, or this test would prove nothing.
        server = self.serve()
        self.assertIn(NEW, self.s_client_of(server, '-sess_out', session))
        self.assertIn(REUSED, self.s_client_of(server, '-sess_in', session))

    def test_a_session_of_another_server_opens_nothing_at_our_tool(self):
        tool = self.started_tool()
        session = self.test_node.dir / 'session.pem'
        self.s_client_of(self.serve(), '-sess_out', session)
        said = self.s_client(tool.address, '-sess_in', session).stdout
        self.assertIn(NEW, said)
        self.assertNotIn(REUSED, said)
        self.assertIn(f'hello {PEER}', said)

    def test_s_client_that_reconnects_is_new_each_time(self):
        """It comes back at once, and in TLS 1.3 before any ticket could reach it; the tests above are about tickets."""
        tool = self.started_tool()
        said = self.s_client(tool.address, '-reconnect').stdout
        self.assertEqual((said.count(NEW), said.count(REUSED)), (6, 0))
        self.is_answered(tool)

    def test_our_agent_comes_back_to_s_server_without_the_session_that_it_was_given(self):
        self.start(x509_ttl='10s')
        server = self.serve()
        done = self.run_agent(server.address, '--rotations', '1')
        self.assertEqual(done.returncode, EXIT_OK, done)
        self.assertEqual([server.saw(), server.saw()], [AGENT, AGENT])  # saw() looks for "Reused"

    def s_client_of(self, server, *options):
        """What s_client prints that talks with s_server, which never has enough: it ends by Q after the answer."""
        client = self.test_node.start_lines(['stdbuf', '-oL', *self.s_client_command(server.address, *options)])
        output = ''
        while ANSWER not in output:
            if 'hello' in (line := client.line()):
                print(REQUEST, file=client.process.stdin, flush=True)
            output += line
        print('Q', file=client.process.stdin, flush=True)
        client.wait()
        return output
