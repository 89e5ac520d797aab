"""The C++ client library as other people have it: installed, found by CMake and pkg-config, and at work.

The programs are those of docs/CLIENTS.md, built in a directory of their own as it says.
"""

import os
import re
import shutil
import subprocess

from client_package import HOME, PREFIX, built, built_by_pkg_config, install, locked, page_files
from node import EXIT_OK, ROOT, NodeTest, entry, shared_file
from process import scaled

EXAMPLES = ROOT / 'workload_api/client/examples'
QUESTION = 'where is order 4711?'
CLIENT, SERVER, THIRD = (f'spiffe://example.org/{name}' for name in ('client', 'server', 'third'))
THIRD_PARTY = {'absl/status/status.h', 'absl/status/statusor.h', 'fmt/format.h'}


class ClientPackageTest(NodeTest):
    def programs(self, *names):
        directory = built()
        return [shared_file(directory / name) for name in names]

    def of_program(self, path, program):
        return entry(path, f'unix:path:{os.path.realpath(program)}')

    def serving(self):
        """A node with the two programs, and a third one, whose identity nobody expects; the server runs."""
        client, server = self.programs('mtls_client', 'mtls_server')
        node = self.node([])
        third = shutil.copy2(client, node.dir / 'third')
        node.register([self.of_program('/client', client), self.of_program('/server', server), self.of_program('/third', third)])
        node.start()
        running = node.start_lines([server, '127.0.0.1:0', CLIENT])
        port = re.fullmatch(r'listening on port (\d+)\n', running.line(30))[1]
        return node, running, client, third, f'127.0.0.1:{port}'

    def test_the_page_shows_the_examples_as_they_are(self):
        names = sorted(path.name for path in EXAMPLES.iterdir())
        self.assertEqual(sorted(page_files('.cc', 'CMakeLists.txt')), names)
        for name, text in page_files('.cc', 'CMakeLists.txt').items():
            self.assertEqual(text, (EXAMPLES / name).read_text(encoding='utf-8'), name)

    def test_headers_are_those_that_the_umbrella_includes_and_need_no_grpc(self):
        with locked():
            files = [path for path in install('client', PREFIX) if path.suffix == '.h']
            texts = {str(path.relative_to('include/lanyard')): (PREFIX / path).read_text(encoding='utf-8') for path in files}
        included = set(re.findall(r'^#include "(.*)"', '\n'.join(texts.values()), re.MULTILINE))
        self.assertEqual(set(texts), included | {'client.h', 'workload_api/client/client.h'})
        others = {name for name in re.findall(r'^#include <(.*)>', '\n'.join(texts.values()), re.MULTILINE) if '/' in name}
        self.assertEqual(others, THIRD_PARTY)

    def test_agent_and_library_are_installed_apart(self):
        with locked():
            agent = {str(path) for path in install('agent', HOME / 'agent')}
            library = {str(path) for path in install('client', PREFIX)}
        self.assertIn('bin/lanyard', agent)
        self.assertIn('lib/liblanyard_workload_client.a', library)
        self.assertFalse(agent & library)
        self.assertFalse([path for path in library if not path.startswith(('include/lanyard/', 'lib/'))])

    def test_client_and_server_prove_who_they_are(self):
        node, server, client, _, address = self.serving()
        done = node.run([client, address, SERVER, QUESTION])
        self.assertEqual((done.returncode, done.stdout), (EXIT_OK, f'{CLIENT}, I heard: {QUESTION}\n'), done.stderr)
        self.assertEqual(server.line(), f'answered {CLIENT}\n')

    def test_a_third_program_is_refused_as_client_and_the_server_serves_on(self):
        node, server, client, third, address = self.serving()
        done = node.run([third, address, SERVER, QUESTION])
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('the server ended the connection', done.stderr)
        self.assertRegex(server.line(), f'^refused: PERMISSION_DENIED: .*{THIRD}')
        self.assertEqual(node.run([client, address, SERVER, QUESTION]).returncode, EXIT_OK)

    def test_a_client_refuses_a_server_that_it_does_not_expect(self):
        node, server, client, _, address = self.serving()
        done = node.run([client, address, THIRD, QUESTION])
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertRegex(done.stderr, f'PERMISSION_DENIED: .*{SERVER}')
        self.assertTrue(server.line().startswith('refused: '))

    def test_without_an_identity_a_program_says_so(self):
        [client] = self.programs('mtls_client')
        node = self.started_node([])
        done = node.run([client, '127.0.0.1:9', SERVER, QUESTION])
        self.assertEqual(done.returncode, 1)
        self.assertIn('PERMISSION_DENIED', done.stderr)

    def test_a_jwt_svid_is_fetched_and_validated_for_its_audience_only(self):
        [jwt] = self.programs('jwt')
        node = self.started_node([self.of_program('/client', jwt)])
        fetched = node.run([jwt, 'fetch', 'ledger'])
        self.assertEqual(fetched.returncode, EXIT_OK, fetched.stderr)
        validated = self.validate(node, jwt, 'ledger', fetched.stdout)
        self.assertEqual(validated.returncode, EXIT_OK, validated.stderr)
        self.assertTrue(validated.stdout.startswith(f'{CLIENT} says {{'), validated.stdout)
        self.assertIn('refused: ', self.validate(node, jwt, 'another', fetched.stdout).stderr)

    def validate(self, node, program, audience, token):
        return subprocess.run([program, 'validate', audience], input=token, capture_output=True, text=True, check=False,
                              env=node.client_environment(), timeout=scaled(30))

    def test_pkg_config_says_all_that_is_needed(self):
        program = shared_file(built_by_pkg_config('jwt'))
        node = self.started_node([self.of_program('/client', program)])
        self.assertEqual(node.run([program, 'fetch', 'ledger']).returncode, EXIT_OK)
