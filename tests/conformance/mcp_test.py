"""An MCP agent and an MCP tool server that know each other by SPIFFE ID: the demonstration as a whole, and its programs
against a peer that was revoked or is hostile. The MCP SDK is other people's, as it comes."""

import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

from authority import openssl
from node import ROOT, NodeTest, entry, eventually
from peers import PEERS
from process import LineProcess, scaled

PYTHON = PEERS / 'mcp/bin/python'
DEMO = ROOT / 'deploy/demo/mcp'
ME = f'unix:uid:{os.geteuid()}'
AGENT, TOOL = (f'spiffe://example.org/{name}' for name in ('agent', 'tool'))
QUESTION = 'where is order 4711?\n'


class McpTest(NodeTest):
    def setUp(self):
        if not PEERS.joinpath('mcp.stamp').exists():
            self.skipTest('the MCP SDK is not there; tests/peers.sh installs it')

    def test_the_demonstration_goes_as_it_says(self):
        node = self.node([])  # its directory, and a copy of the program that every user can execute
        build = node.dir / 'build'
        build.mkdir()
        (build / 'lanyard').symlink_to(node.binary)
        environment = {**os.environ, 'LANYARD_MCP_DEMO_DIR': str(node.dir / 'demo'), 'LANYARD_BUILD': str(build),
                       'LANYARD_MCP_PYTHON': str(PYTHON)}
        code, said, errors = self.demonstration(environment)
        self.assertEqual(code, 0, said + errors)
        steps = said.split('\n== ')[1:]
        self.assertEqual([step[:4] for step in steps], [f'{number}/8 ' for number in range(1, 9)])
        asked = [step.count('tool:  asked') for step in steps]
        answered = [step.count('agent: answer: ') for step in steps]
        self.assertEqual(asked, [0, 0, 0, 1, 2, 0, 0, 1], said)
        self.assertEqual(answered, asked, said)
        for step, line in ((5, 'agent: meanwhile my identity rotated'),
                           (6, 'not spiffe://agents.example/assistant'), (6, 'lanyard: exec: denied'),
                           (6, 'peer did not return a certificate'), (7, 'agent: no answer: nobody of tools.example is believed')):
            self.assertIn(line, steps[step - 1])
        left = subprocess.run(['pgrep', '-f', str(node.dir / 'demo')], capture_output=True, text=True, check=False)
        self.assertEqual(left.stdout, '', 'nothing goes on running')

    def demonstration(self, environment):
        """How it ended, and what it printed. One that does not end is asked to, so that it stops what it has started."""
        program = subprocess.Popen([DEMO / 'run.sh'], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        try:
            said, errors = program.communicate(timeout=170)
            return program.returncode, said, errors
        except subprocess.TimeoutExpired:
            program.terminate()
            try:
                said, errors = program.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
                raise
            raise AssertionError(f'it did not end:\n{said}{errors}') from None

    # The same programs by themselves.

    def identities(self):
        """A node agent from which this user may have both identities."""
        return self.started_node([entry('/agent', ME), entry('/tool', ME)])

    def under_exec(self, node, spiffe_id, name, *arguments):
        """agent.py or tool.py under `lanyard exec`, and the directory of its files."""
        show_and_become = ['sh', '-c', 'echo "$LANYARD_SVID_DIR"; exec "$@"', 'sh']
        program = node.start_cli('exec', '--spiffe-id', spiffe_id, '--', *show_and_become, PYTHON, '-B', DEMO / name, *arguments)
        self.addCleanup(self.end, program)
        return program, pathlib.Path(program.line().strip())

    def by_itself(self, files, name, *arguments):
        """The same program with files that somebody has copied."""
        program = LineProcess([PYTHON, '-B', DEMO / name, *arguments], {**os.environ, 'LANYARD_SVID_DIR': str(files)})
        self.addCleanup(program.stop)
        return program

    def end(self, program):
        if program.process.poll() is None:  # who is killed leaves a child behind
            program.process.send_signal(signal.SIGTERM)
            program.wait()

    def said(self, program, *starts):
        """The first line that begins like this, and those before it must not be of a question to the tool."""
        while not (line := program.line(30)).startswith(starts):
            self.assertNotIn('tool:  asked', line)
        return line.strip()

    def url_of(self, tool):
        return self.said(tool, 'tool:  listening on ').split()[-1]

    def ask(self, agent):
        """What comes of one question."""
        agent.process.stdin.write(QUESTION)
        agent.process.stdin.flush()
        return self.said(agent, 'agent: answer', 'agent: no answer')

    def pair(self, node):
        tool, tool_files = self.under_exec(node, TOOL, 'tool.py', '--agent-id', AGENT)
        url = self.url_of(tool)
        agent, agent_files = self.under_exec(node, AGENT, 'agent.py', '--tool-url', url, '--tool-id', TOOL)
        self.answers(agent, tool)
        return agent, agent_files, tool, tool_files, url

    def answers(self, agent, tool):
        self.assertEqual(self.ask(agent), 'agent: answer: "order 4711 is on its way"')
        self.said(tool, 'tool:  asked where order 4711 is')

    def test_a_peer_whose_certificate_was_revoked_is_refused_on_the_next_connection(self):
        node = self.identities()
        agent, agent_files, tool, tool_files, url = self.pair(node)
        before = {}
        for name, files in (('agent', agent_files), ('tool', tool_files)):
            before[name] = node.dir / f'{name}-before'
            shutil.copytree(files / '.current', before[name] / '.current')
        self.assertEqual(self.ask(self.by_itself(before['agent'], 'agent.py', '--tool-url', url, '--tool-id', TOOL)),
                         'agent: answer: "order 4711 is on its way"', 'whoever has the files is believed until then')
        self.said(tool, 'tool:  asked')
        self.assertEqual(node.stop(), 0)
        with sqlite3.connect(node.data / 'state.db') as state:  # while the node agent is down
            state.execute('INSERT INTO revoked (authority, serial, not_after, revoked_at) '
                          'SELECT authority, serial, not_after, ? FROM issued', (int(time.time()),))
        state.close()
        node.start()
        for files in (agent_files, tool_files):
            eventually(lambda: 'Serial Number' in openssl('crl', '-in', files / 'crl.pem', '-noout', '-text').stdout, 20, 'the list')

        self.answers(agent, tool)  # with the certificates after those
        thief = self.by_itself(before['agent'], 'agent.py', '--tool-url', url, '--tool-id', TOOL)
        self.assertIn('agent: no answer', self.ask(thief))
        self.assertIn('certificate revoked', self.said(tool, 'tool:  refused'))
        impostor = self.by_itself(before['tool'], 'tool.py', '--agent-id', AGENT)
        misled, _ = self.under_exec(node, AGENT, 'agent.py', '--tool-url', self.url_of(impostor), '--tool-id', TOOL)
        self.assertIn('certificate revoked', self.ask(misled))
        self.assertFalse(impostor.has_line(), 'it was asked nothing')
        self.answers(agent, tool)

    def listens_as(self, files):
        """A server that shows the certificate in `files`, believes everybody, and keeps what it is asked."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files / 'svid.pem', files / 'svid.key')
        listener = socket.create_server(('127.0.0.1', 0))
        listener.settimeout(scaled(30))
        asked = []

        def answer():
            try:
                with listener, listener.accept()[0] as raw, context.wrap_socket(raw, server_side=True) as connection:
                    connection.settimeout(scaled(30))
                    asked.append(connection.recv(1000))
            except OSError:
                asked.append(b'')
        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join)
        return f'https://127.0.0.1:{listener.getsockname()[1]}/mcp', asked, thread

    def test_the_agent_sends_no_byte_of_a_request_to_whoever_is_not_the_tool(self):
        node = self.identities()
        _, agent_files, _, tool_files, _ = self.pair(node)
        for files, expected in ((tool_files, b'POST /mcp HTTP/1.1'), (agent_files, b'')):
            url, asked, thread = self.listens_as(files)
            agent, _ = self.under_exec(node, AGENT, 'agent.py', '--tool-url', url, '--tool-id', TOOL)
            verdict = self.ask(agent)
            thread.join()
            self.assertEqual(asked[0][:len(expected) or None], expected)
            self.assertIn('agent: no answer', verdict)
        self.assertIn(f'the peer proved to be {AGENT}, not {TOOL}', verdict)

    def test_the_tool_answers_no_request_of_whoever_is_not_the_agent(self):
        node = self.identities()
        agent, agent_files, tool, tool_files, url = self.pair(node)
        port = int(url.split(':')[2].split('/')[0])
        request = b'POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}'

        def answer(files):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if files:
                context.load_cert_chain(files / 'svid.pem', files / 'svid.key')
            try:
                with socket.create_connection(('127.0.0.1', port), scaled(10)) as raw, context.wrap_socket(raw) as connection:
                    connection.sendall(request)
                    return connection.recv(1000)
            except OSError:
                return b''
        self.assertIn(b'HTTP/1.1 ', answer(agent_files))
        self.assertEqual(answer(tool_files), b'')
        self.assertIn(f'the peer proved to be {TOOL}, not {AGENT}', self.said(tool, 'tool:  refused'))
        self.assertEqual(answer(None), b'')
        self.assertIn('peer did not return a certificate', self.said(tool, 'tool:  refused'))
        with socket.create_connection(('127.0.0.1', port), scaled(10)) as plain:
            plain.sendall(request)
            self.assertNotIn(b'HTTP', plain.recv(1000))
        self.assertIn('http request', self.said(tool, 'tool:  refused'))
        self.answers(agent, tool)

    def test_an_identity_that_is_lost_is_refused_and_one_that_comes_back_needs_no_restart(self):
        node = self.identities()
        agent, agent_files, tool, tool_files, _ = self.pair(node)
        node.register([entry('/other', 'unix:uid:4242')])
        eventually(lambda: not (agent_files / '.current').exists(), 20, 'that the files go')
        self.assertIn('agent: no answer: we have no identity', self.ask(agent))
        node.register([entry('/agent', ME), entry('/tool', ME)])
        for files in (agent_files, tool_files):
            eventually((files / '.current').exists, 60, 'that the files come back')
        self.answers(agent, tool)
