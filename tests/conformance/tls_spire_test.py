"""Our programs at a Workload API that is not ours: spire-agent 1.13.3 gives them their identities and bundles."""

import os
import subprocess
import unittest

from kills import FULL
from node import EXIT_DENIED, EXIT_OK, OTHER_UID, UID, eventually, needs_root, shared_binary
from process import LineProcess, drop_to, scaled
from spire import Spire, spire_binary, spire_entry
from tls_pair import AGENT, ANSWER, IMPOSTOR, TOOL, Tool

IMPOSTOR_UID, UNKNOWN_UID = 65530, 65529


@needs_root('programs run under other users')
class SpireAgentTest(unittest.TestCase):
    def setUp(self):
        if not spire_binary('spire-agent'):
            self.assertFalse(FULL, 'spire-agent is not there; "tests/peers.sh compiled" builds it')
            self.skipTest('spire-agent is not there; "tests/peers.sh compiled" builds it')

    def start(self, ttl=3600):
        entries = [('/agent', UID), ('/tool', OTHER_UID), ('/impostor', IMPOSTOR_UID)]
        self.spire = Spire(self).start([spire_entry(path, f'unix:uid:{uid}', ttl=ttl) for path, uid in entries])
        # It has its socket before it has heard from its server.
        eventually(lambda: self.run_program('lanyard', 'fetch', 'x509', uid=OTHER_UID).returncode == EXIT_OK, 30,
                   'that spire-agent knows the tool')
        self.tool = Tool(self, AGENT, uid=OTHER_UID)

    def environment(self):
        return {**os.environ, 'SPIFFE_ENDPOINT_SOCKET': f'unix://{self.spire.socket}'}

    def start_lines(self, command, uid):
        program = LineProcess(command, self.environment(), drop_to(uid))
        self.addCleanup(program.stop)
        return program

    def run_program(self, name, *arguments, uid):
        return subprocess.run([shared_binary(name), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, cwd='/', env=self.environment(), preexec_fn=drop_to(uid), timeout=scaled(60))

    def run_agent(self, *more, uid=UID, expects=TOOL):
        return self.run_program('lanyard-demo-agent', '--connect', self.tool.address, '--peer-id', expects, *more, uid=uid)

    def test_our_programs_know_each_other(self):
        self.start()
        done = self.run_agent()
        self.assertEqual(done.returncode, EXIT_OK, done)
        self.assertIn(ANSWER, done.stdout)
        self.assertIn(AGENT, self.tool.says('the caller proved to be'))

    def test_our_programs_know_each_other_after_a_rotation(self):
        self.start(ttl=20)
        done = self.run_agent('--rotations', '1')
        self.assertEqual(done.returncode, EXIT_OK, done)
        self.assertEqual(done.stdout.count(ANSWER), 2, done)

    def test_another_identity_is_refused_on_both_sides_and_the_tool_serves_on(self):
        self.start()
        done = self.run_agent(uid=IMPOSTOR_UID)
        self.assertNotEqual(done.returncode, EXIT_OK)
        self.assertNotIn(ANSWER, done.stdout)
        self.assertIn(IMPOSTOR, self.tool.says('refused a caller'))
        done = self.run_agent(expects=IMPOSTOR)
        self.assertNotEqual(done.returncode, EXIT_OK)
        self.assertIn(TOOL, done.stderr)
        self.assertEqual(self.run_agent().returncode, EXIT_OK)

    def test_a_program_without_an_entry_is_denied(self):
        self.start()
        done = self.run_agent(uid=UNKNOWN_UID)
        self.assertEqual(done.returncode, EXIT_DENIED, done)
