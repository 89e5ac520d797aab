"""lanyard exec with real programs: shell scripts that trap signals, and a TLS server that only reads files."""

import os
import pathlib
import signal
import socket
import time

from disks import SmallDisk
from federation_test import FEDERATING, FederationTest as Federating
from node import (EXIT_DENIED, EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE, NodeTest, entry, eventually, needs_root)
from partner import put

ME = f'unix:uid:{os.geteuid()}'
SERIAL = 'openssl x509 -noout -serial -in "$LANYARD_SVID_DIR/svid.pem"'
# Prints the serial at each signal, or "none" when the files are gone, until a line comes on standard input.
FOLLOW = f'trap \'test -e "$LANYARD_SVID_DIR/svid.pem" && {SERIAL} || echo none\' USR1; echo "$LANYARD_SVID_DIR"; {SERIAL}; ' \
    'while true; do sleep 0.05; done'


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return pathlib.Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rsplit(')', 1)[1].split()[0] == 'Z'


class ExecTest(NodeTest):
    def exec(self, node, script, *options, **how):
        """Runs a shell script under `lanyard exec` to its end."""
        return node.cli('exec', *options, '--', 'sh', '-c', script, **how)

    def started(self, node, script=FOLLOW, *options):
        program = node.start_cli('exec', '--signal', 'USR1', *options, '--', 'sh', '-c', script)
        self.addCleanup(self.end, program)
        return program

    def end(self, program):
        """By the end of its child: who is killed leaves a child behind that holds our pipes."""
        if program.process.poll() is None:
            for child in self.children_of(program):
                os.kill(child, signal.SIGKILL)
            program.wait()

    def followed(self, node, *options):
        """A program that prints the serial at each change, its directory, and the first serial."""
        program = self.started(node, FOLLOW, *options)
        return program, pathlib.Path(program.line().strip()), program.line()

    def children_of(self, program):
        return list(map(int, pathlib.Path(f'/proc/{program.pid}/task/{program.pid}/children').read_text(encoding='ascii').split()))

    def child_of(self, program):
        [child] = self.children_of(program)
        return child


class FilesTest(ExecTest):
    def test_the_program_finds_an_identity_that_fits_together(self):
        node = self.started_node([entry('/me', ME)])
        scratch = node.dir / 'public.pem'
        done = node.cli('exec', '--', 'sh', '-c',
                        'cd "$LANYARD_SVID_DIR" && stat -L -c %a . svid.key && stat -f -c %T . && '
                        'openssl verify -CAfile bundle.pem svid.pem && '
                        'openssl pkey -in svid.key -pubout > "$0" && openssl x509 -in svid.pem -noout -pubkey | cmp - "$0" && '
                        'test "$SPIFFE_CREDENTIAL_FOLDER" = "$LANYARD_SVID_DIR" && '
                        'openssl x509 -in credential-bundle.private-key.pem -noout -ext subjectAltName && pwd', scratch)
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:4], ['700', '600', 'tmpfs', 'svid.pem: OK'])
        self.assertIn('URI:spiffe://example.org/me', done.stdout)
        self.assertFalse(pathlib.Path(lines[-1]).exists(), 'the directory is gone with the program')

    def test_arguments_and_exit_codes_are_the_programs_own(self):
        node = self.started_node([entry('/me', ME)])
        done = node.cli('exec', '--', 'printf', '<%s>', '[a,b]', '', '--', '-x', 'fetch', '{}')
        self.assertEqual((done.returncode, done.stdout), (0, '<[a,b]><><--><-x><fetch><{}>'))
        self.assertEqual(self.exec(node, 'exit 42').returncode, 42)
        self.assertEqual(self.exec(node, 'kill -KILL $$').returncode, 128 + signal.SIGKILL)
        self.assertEqual(node.cli('exec', '--', '/nonexistent/program').returncode, 127)
        self.assertEqual(node.cli('exec', '--', '/etc/passwd').returncode, 126)
        self.assertEqual(node.cli('exec').returncode, EXIT_USAGE)
        self.assertEqual(node.cli('exec', '--signal', 'NOPE', '--', 'true').returncode, EXIT_USAGE)

    def test_the_environment_is_the_one_that_was_given_with_two_variables_more(self):
        node = self.started_node([entry('/me', ME)])
        done = node.run(['env', '-i', 'MINE=a b', f'SPIFFE_ENDPOINT_SOCKET=unix://{node.socket}', 'SPIFFE_CREDENTIAL_FOLDER=/old',
                         node.binary, 'exec', '--', 'env'])
        self.assertEqual(sorted(line.split('=')[0] for line in done.stdout.splitlines()),
                         ['LANYARD_SVID_DIR', 'MINE', 'SPIFFE_CREDENTIAL_FOLDER', 'SPIFFE_ENDPOINT_SOCKET'], done.stderr)
        self.assertIn('MINE=a b\n', done.stdout)
        self.assertNotIn('/old', done.stdout)

    def test_without_an_identity_the_program_is_never_started(self):
        node = self.started_node([entry('/other', 'unix:uid:4242')])
        marker = node.dir / 'started'
        done = self.exec(node, f'touch {marker}')
        self.assertEqual(done.returncode, EXIT_DENIED, done.stderr)
        node.register([entry('/me', ME)])
        eventually(lambda: node.cli('fetch', 'x509').returncode == EXIT_OK, 10, 'the entry')
        done = self.exec(node, f'touch {marker}', '--spiffe-id', 'spiffe://example.org/admin')
        self.assertEqual(done.returncode, EXIT_DENIED, done.stderr)
        node.stop()
        self.assertEqual(self.exec(node, f'touch {marker}').returncode, EXIT_UNREACHABLE)
        self.assertFalse(marker.exists())

    def test_one_of_several_identities_can_be_chosen(self):
        node = self.started_node([entry('/first', ME), entry('/second', ME)])
        show = 'openssl x509 -in "$LANYARD_SVID_DIR/svid.pem" -noout -ext subjectAltName'
        self.assertIn('example.org/first', self.exec(node, show).stdout)
        self.assertIn('example.org/second', self.exec(node, show, '--spiffe-id', 'spiffe://example.org/second').stdout)

    def test_a_tls_server_that_only_reads_files_is_believed_by_the_bundle(self):
        node = self.started_node([entry('/me', ME)])
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        server = self.started(node, f'exec openssl s_server -accept 127.0.0.1:{port} -www '
                                    '-cert "$LANYARD_SVID_DIR/svid.pem" -key "$LANYARD_SVID_DIR/svid.key"')
        bundle = node.dir / 'bundle.pem'
        bundle.write_text(node.cli('fetch', 'bundle').stdout, encoding='ascii')

        def verified():
            return 'Verify return code: 0 (ok)' in node.run(
                ['openssl', 's_client', '-connect', f'127.0.0.1:{port}', '-CAfile', bundle, '-verify_return_error']).stdout
        eventually(verified, 15, 'a verified handshake')
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 128 + signal.SIGTERM)


class ChangeTest(ExecTest):
    def test_each_rotation_swaps_the_files_and_sends_the_signal(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='6s')
        program, directory, first = self.followed(node)
        serials = [first, program.line(15), program.line(15)]
        self.assertEqual(len(set(serials)), 3, serials)
        self.assertTrue(all(line.startswith('serial=') for line in serials), serials)
        self.assertLessEqual(len(list(directory.glob('.set-*'))), 2)
        program.process.send_signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 128 + signal.SIGTERM)
        self.assertFalse(directory.exists())

    def test_signals_are_passed_on_and_the_program_may_do_with_them_what_it_likes(self):
        node = self.started_node([entry('/me', ME)])
        program = self.started(node, 'trap "echo term" TERM; trap "echo hup" HUP; trap "exit 5" INT; echo ready; '
                                     'while true; do sleep 0.05; done')
        self.assertEqual(program.line(), 'ready\n')
        program.process.send_signal(signal.SIGTERM)
        self.assertEqual(program.line(), 'term\n')
        program.process.send_signal(signal.SIGHUP)
        self.assertEqual(program.line(), 'hup\n')
        self.assertIsNone(program.process.poll(), 'a program that does not end keeps us')
        program.process.send_signal(signal.SIGINT)
        self.assertEqual(program.wait(), 5)

    def test_a_lost_identity_takes_the_files_away_and_they_come_back_with_it(self):
        node = self.started_node([entry('/me', ME)])
        program, directory, _ = self.followed(node)
        node.register([entry('/other', 'unix:uid:4242')])
        self.assertEqual(program.line(), 'none\n')
        self.assertEqual([path.name for path in directory.iterdir()], ['.alive'])
        eventually(lambda: 'the identity is gone, and its files with it' in program.error_text(), 10, 'the reason')
        node.register([entry('/me', ME)])
        self.assertRegex(program.line(30), 'serial=')

    def test_a_restart_of_the_agent_takes_nothing_away(self):
        node = self.started_node([entry('/me', ME)])
        program, directory, first = self.followed(node)
        node.stop()
        self.assertTrue((directory / 'svid.pem').exists())
        node.start()
        second = program.line(30)  # the new agent issues a new one
        self.assertRegex(second, 'serial=')
        self.assertNotEqual(first, second)

    def test_what_has_expired_goes_when_nobody_renews_it(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='6s')
        program, directory, _ = self.followed(node)
        node.kill()
        lines = [program.line(20)]
        while lines[-1] != 'none\n':
            lines.append(program.line(20))
        self.assertEqual([path.name for path in directory.iterdir()], ['.alive'])
        self.assertIn('it expired at', program.error_text())

    def test_what_the_agent_federates_with_is_in_the_files(self):
        node, partner = Federating.with_partner(self, [FEDERATING])
        node.start()
        program, directory, _ = self.followed(node)
        file = directory / 'partner.example.spiffe-trust-bundle.pem'
        self.assertEqual(file.read_text(encoding='ascii'), partner.authority('one'))
        put(node.bundle_file, partner.document('two'))
        program.line()
        self.assertEqual(file.read_text(encoding='ascii'), partner.authority('two'))
        put(node.bundle_file, partner.document())
        program.line()
        self.assertFalse(file.is_symlink())


class BadDayTest(ExecTest):
    def test_what_a_killed_parent_leaves_is_removed_by_the_next_one(self):
        node = self.started_node([entry('/me', ME)])
        killed, left, _ = self.followed(node)
        alive, kept, _ = self.followed(node)
        child = self.child_of(killed)
        self.addCleanup(lambda: gone(child) or os.kill(child, signal.SIGKILL))
        killed.process.kill()
        killed.process.wait()
        self.assertFalse(gone(child), 'the program goes on with what it has')
        self.assertTrue((left / 'svid.key').exists(), 'nobody was there to remove it')
        self.assertEqual(self.exec(node, 'true').returncode, 0)
        self.assertFalse(left.exists())
        self.assertTrue((kept / 'svid.key').exists(), 'that of a parent that lives')
        self.assertIsNone(alive.process.poll())

    def test_a_program_that_ignores_signals_goes_on_until_it_is_killed(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='6s')
        program = self.started(node, 'trap "" TERM HUP INT USR1; echo "$LANYARD_SVID_DIR"; while true; do sleep 0.05; done')
        directory = pathlib.Path(program.line().strip())
        child = self.child_of(program)
        for ignored in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            program.process.send_signal(ignored)
        time.sleep(7)  # longer than the first SVID lives
        self.assertIsNone(program.process.poll())
        done = node.run(['openssl', 'x509', '-in', directory / 'svid.pem', '-noout', '-checkend', '0'])
        self.assertEqual(done.returncode, 0, 'its files are kept fresh all the same')
        os.kill(child, signal.SIGKILL)
        self.assertEqual(program.wait(), 128 + signal.SIGKILL)
        self.assertFalse(directory.exists())

    @needs_root('mounts a small tmpfs')
    def test_a_full_tmpfs_starts_nothing_and_keeps_what_is_there(self):
        node = self.started_node([entry('/me', ME)], x509_ttl='10s')
        disk = SmallDisk(self, node.dir / 'runtime', 1).fill()
        place = ['env', f'XDG_RUNTIME_DIR={disk.path}', node.binary, 'exec', '--signal', 'USR1', '--', 'sh', '-c']
        done = node.run([*place, f'touch {node.dir}/started'])
        self.assertEqual(done.returncode, EXIT_FAILED, done.stderr)
        self.assertFalse((node.dir / 'started').exists())
        self.assertEqual(list(disk.path.glob('lanyard-exec-*')), [])
        disk.make_room()
        program = node.start_lines([*place, FOLLOW])
        self.addCleanup(self.end, program)
        directory = pathlib.Path(program.line().strip())
        self.assertEqual(directory.parent, disk.path)
        first = program.line()
        disk.fill()
        eventually(lambda: 'No space left' in program.error_text(), 15, 'the reason')
        done = node.run(['openssl', 'x509', '-noout', '-serial', '-in', directory / 'svid.pem'])
        self.assertEqual(done.stdout, first, 'the old set is whole')
        disk.make_room()
        self.assertRegex(program.line(), 'serial=', 'written as soon as there is room')
