"""Mutual TLS between a demo program of ours and a program of somebody else, both fed by one node agent.

The agent and the tool of deploy/demo/mtls are our side of every pair, as client and as server. In their conversation the
server greets whom it lets in, reads a line and answers it. Each program has an identity of its own, earned by the path of
its executable.
"""

import os

from node import EXIT_OK, NodeTest, eventually, shared_binary

AGENT, TOOL, PEER, IMPOSTOR, NOBODY = (
    f'spiffe://example.org/{name}' for name in ('agent', 'tool', 'peer', 'impostor', 'nobody'))
REQUEST, ANSWER = 'where is order 4711?', 'order 4711 is on its way'


class Tool:
    """lanyard-demo-tool, running, which lets in one SPIFFE ID."""

    def __init__(self, node, lets_in, **how):
        self._program = node.start_lines([shared_binary('lanyard-demo-tool'), '--peer-id', lets_in], **how)
        self.address = self.says('listening on').split()[-1]

    def says(self, text):
        """The next line that has this text."""
        while text not in (line := self._program.line()):
            pass
        return line


class PairTest(NodeTest):
    """What must hold with every program at the other end; subclasses say which one. Its identity is PEER unless a test
    makes it that of an IMPOSTOR, whose certificate is as good."""

    program = None  # the executable that asks for the other side's identity

    def listen(self, lets_in, connections=1):
        """Starts the other program as a server; an object with `address` and `saw()`, which waits for the next caller
        and returns its ID, or '' when it was refused."""
        raise NotImplementedError

    def call(self, address, expects):
        """Runs the other program as a client; what the server said, line by line."""
        raise NotImplementedError

    def start(self, peer=PEER, **options):
        self.test_node = self.started_node(self.entries(peer), **options)

    def entries(self, peer):
        return [{'spiffe_id': spiffe_id, 'selectors': [f'unix:path:{os.path.realpath(program)}']} for spiffe_id, program in [
            (AGENT, shared_binary('lanyard-demo-agent')), (TOOL, shared_binary('lanyard-demo-tool')), (peer, self.program)]]

    def run_agent(self, address, *more):
        command = [shared_binary('lanyard-demo-agent'), '--connect', address, '--peer-id', PEER, *more]
        return self.test_node.run(command, seconds=60)

    def our_agent_is_answered(self):
        self.start()
        server = self.listen(AGENT)
        done = self.run_agent(server.address)
        self.assertEqual(done.returncode, EXIT_OK, done)
        self.assertIn(ANSWER, done.stdout)
        self.assertEqual(server.saw(), AGENT)

    def our_agent_is_answered_after_each_rotation(self):
        self.start(x509_ttl='6s')
        server = self.listen(AGENT, connections=3)
        done = self.run_agent(server.address, '--rotations', '2')
        self.assertEqual(done.returncode, EXIT_OK, done)
        self.assertEqual(done.stdout.count(ANSWER), 3, done)
        self.assertEqual([server.saw() for _ in range(3)], [AGENT] * 3)

    def our_agent_refuses_another_identity(self):
        self.start(IMPOSTOR)
        server = self.listen(AGENT)
        done = self.run_agent(server.address)
        self.assertNotEqual(done.returncode, EXIT_OK, done)
        self.assertIn(IMPOSTOR, done.stderr)
        self.assertNotIn(ANSWER, done.stdout)
        self.assertEqual(server.saw(), '')

    def our_agent_is_refused(self):
        self.start()
        self.refuses_our_agent(self.listen(NOBODY))

    def refuses_our_agent(self, server):
        done = self.run_agent(server.address)
        self.assertNotEqual(done.returncode, EXIT_OK, done)
        self.assertIn('error: ', done.stderr)
        self.assertNotIn(ANSWER, done.stdout)
        self.assertEqual(server.saw(), '')

    def our_tool_answers(self):
        self.start()
        tool = Tool(self.test_node, PEER)
        self.assertEqual(self.call(tool.address, TOOL), [f'hello {PEER}', ANSWER])
        self.assertIn(PEER, tool.says('the caller proved to be'))

    def our_tool_refuses_another_identity_and_serves_on(self):
        self.start(IMPOSTOR)
        tool = Tool(self.test_node, PEER)
        self.assertEqual(self.call(tool.address, TOOL), [])
        self.assertIn(IMPOSTOR, tool.says('refused a caller'))
        self.test_node.register(self.entries(PEER))
        eventually(lambda: self.call(tool.address, TOOL) == [f'hello {PEER}', ANSWER], what='that the tool answers its caller')

    def our_tool_is_refused_and_serves_on(self):
        self.start()
        tool = Tool(self.test_node, PEER)
        self.assertEqual(self.call(tool.address, NOBODY), [])
        tool.says('refused a caller')
        self.assertEqual(self.call(tool.address, TOOL), [f'hello {PEER}', ANSWER])
