"""The audit log as evidence: whole over restarts, kills and rotation, and whatever is done to it shows."""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from audit_view import AuditView, small
from node import EXIT_FAILED, EXIT_OK, NodeTest, entry, eventually, is_root
from programs import HERE, PYTHON
from records import serial_of

ME = f'unix:uid:{os.geteuid()}'


class AuditChainTest(NodeTest):
    def running(self, entries=None, config=None, **options):
        node = self.started_node(entries or [entry('/me', ME)], config=small() if config is None else config, **options)
        return node, AuditView(node)

    def fill(self, node, log, files):
        """Calls until the log has so many rotated files, those that were removed included."""
        def rotated():
            node.run([PYTHON, HERE / 'raw_call.py', 'fetches', node.socket, 60])
            return len(log.lines(kind='audit', action='rotate')) + len(log.lines(kind='audit', action='remove')) >= files
        eventually(rotated, 15, f'{files} rotations')

    def test_the_chain_goes_on_over_a_restart_and_is_intact(self):
        node, log = self.running()
        node.fetch()
        node.stop()
        before = log.check()
        node.start()
        node.fetch()
        node.stop()
        after = log.check()
        self.assertEqual(after[:len(before)], before, 'nothing that was written has changed')
        self.assertEqual(sum(line.get('action') == 'start' for line in after), 2)
        self.assertEqual(log.aside(), [])

    def test_the_chain_goes_on_over_a_kill_and_keeps_all_that_was_answered(self):
        node, log = self.running()
        svid = node.fetch()['svids'][0]
        node.kill()
        before = log.chain()
        self.assertEqual([line['serial'] for line in before if line['kind'] == 'fetch'], [svid['serial']])
        node.start()
        node.fetch()
        node.stop()
        after = log.check()
        self.assertEqual(after[:len(before)], before)
        self.assertNotIn('stop', [line.get('action') for line in before])

    def test_rotated_files_are_removed_on_record_and_the_rest_is_intact(self):
        node, log = self.running(config=small({'keep_files': 2}))
        self.fill(node, log, 5)
        node.stop()
        files = log.files()
        self.assertEqual(len(files), 3, files)
        for path in files[:-1]:
            self.assertLess(path.stat().st_size, 96 * 1024)
        first = json.loads(files[0].read_bytes().split(b'\n')[0])
        self.assertGreater(first['seq'], 1, 'the test needs a file that was removed')
        lines = log.chain(begins=(first['seq'] - 1, first['prev_hash']))
        removed = [line for line in lines if line.get('action') == 'remove']
        self.assertTrue(removed)
        self.assertRegex(removed[-1]['reason'], rf'seq \d+ to {first["seq"] - 1}, last hash {first["prev_hash"]}')
        self.assertFalse(pathlib.Path(removed[-1]['resource']).exists())
        for path in files[:-1]:
            self.assertEqual(json.loads(path.read_bytes().split(b'\n')[-2])['kind'], 'checkpoint', 'a whole file is signed')
        verdict = log.verify()
        self.assertEqual(verdict.returncode, EXIT_OK, verdict.stdout + verdict.stderr)
        self.assertIn(f'begins at seq {first["seq"]}', verdict.stdout)
        without_names = node.cli('audit', 'verify', '--config', node.config)
        self.assertEqual(without_names.returncode, EXIT_OK, without_names.stdout + without_names.stderr)
        self.assertIn('3 files', without_names.stdout)

    def test_a_file_that_is_left_out_is_missed(self):
        node, log = self.running(config=small({'keep_files': 0}))
        self.fill(node, log, 2)
        node.stop()
        files = log.files()
        verdict = log.verify(files[0], *files[2:])
        self.assertEqual(verdict.returncode, EXIT_FAILED)
        self.assertIn(f'{files[2]}:1: ', verdict.stdout)

    def test_openssl_verifies_a_checkpoint_while_the_agent_runs(self):
        node, log = self.running()
        node.fetch()
        log.wait(kind='checkpoint')
        lines = log.chain()
        log.check_signatures(lines)
        pem = subprocess.run(['openssl', 'pkey', '-pubin', '-in', log.key, '-outform', 'der'], capture_output=True, check=True)
        self.assertEqual({line['checkpoint']['key_id'] for line in lines if line['kind'] == 'checkpoint'},
                         {hashlib.sha256(pem.stdout).hexdigest()})
        self.assertEqual((node.data / 'audit.key').stat().st_mode & 0o777, 0o600)

    def hostile_call(self, node, log, name):
        """The line about a call by a program of that path, as bytes, and its record."""
        program = os.path.join(os.fsencode(node.dir), name)
        os.makedirs(os.path.dirname(program))
        shutil.copy(os.path.realpath(PYTHON), os.fsdecode(program))
        before = len(log.bytes())
        done = subprocess.run([program, '-B', os.fsencode(HERE / 'raw_call.py'), 'call', os.fsencode(node.socket)],
                              capture_output=True, check=False, timeout=30, env={**os.environ, 'PYTHONHOME': '/usr'})
        self.assertIn(b'"status": 7', done.stdout, done.stderr)
        [line] = eventually(lambda: [text for text in log.bytes()[before:] if json.loads(text)['kind'] == 'fetch'], 30, 'the record')
        record = json.loads(line.decode('utf-8'))  # valid UTF-8, strictly
        self.assertEqual((record['decision'], record['caller']['uid']), ('deny', os.geteuid()))
        self.assertIsNone(re.search(rb'[\x00-\x1f\x7f]', line), 'no control character')
        return [one for one in record['caller']['selectors'] if one.startswith('unix:path:')]

    @unittest.skipUnless(PYTHON.startswith('/usr/'), 'needs an interpreter that runs from anywhere')
    def test_programs_with_hostile_paths_make_one_valid_line_each(self):
        node, log = self.running([entry('/other', 'unix:uid:4242')])
        [path] = self.hostile_call(node, log, b'q/"a\\b\\n","seq":1,"x":"\xe2\x80\xa8\xe2\x80\xae/"program')
        self.assertIn('/"a\\b\\n","seq":1,"x":"\u2028', path)
        # No selector holds a control character: no entry can ask for such a path, and the others are found out all the same.
        self.assertEqual(self.hostile_call(node, log, b'c/a\n{"seq":1,"kind":"fetch"}\n\r\t\x1b[31m/program'), [])
        for shown in (node.cli('audit', 'tail', '-n', '100').stdout, node.log_text()):
            self.assertIsNone(re.search(r'[\x00-\x09\x0b-\x1f\x7f]', shown))
            self.assertEqual([text for text in shown.splitlines() if text.startswith('{')], [])
        node.stop()
        log.check()

    @unittest.skipUnless(PYTHON.startswith('/usr/'), 'needs an interpreter that runs from anywhere')
    def test_a_path_that_is_not_utf8_is_no_selector(self):
        node, log = self.running([entry('/other', 'unix:uid:4242')])
        self.assertEqual(self.hostile_call(node, log, b'q/\xff\xfe\xc3\x28/program\xf0\x9f'), [])
        node.stop()
        log.check()

    def test_no_key_is_in_the_log_the_record_the_state_or_what_others_see_of_the_process(self):
        node, log = self.running()
        target = node.dir / 'svid'
        self.assertEqual(node.cli('fetch', 'x509', '--write', target).returncode, EXIT_OK)
        node.cli('ca', 'rotate')
        keys = [target / 'svid.key', *(path for path in node.data.rglob('*')
                                       if path.is_file() and b'PRIVATE KEY' in path.read_bytes())]
        self.assertGreaterEqual(len(keys), 4, 'of the SVID, two authorities and the audit log')
        process = pathlib.Path(f'/proc/{node.process.pid}')
        looked_at = [*log.files(), *node.data.glob('state.db*'), node.log, process / 'cmdline']
        if is_root():
            looked_at.append(process / 'environ')
        else:
            with self.assertRaises(PermissionError):  # not even its own user
                (process / 'environ').read_bytes()
        for key in keys:
            der = subprocess.run(['openssl', 'pkey', '-in', key, '-outform', 'der'], capture_output=True, check=True).stdout
            text = subprocess.run(['openssl', 'pkey', '-in', key, '-noout', '-text'], capture_output=True, check=True).stdout
            private = re.search(rb'priv:\s*((?:[0-9a-f]{2}[:\s]*)+?)pub', text)[1]
            scalar = bytes.fromhex(re.sub(rb'[^0-9a-f]', b'', private).decode())[-32:]
            self.assertIn(scalar, der)
            forms = [scalar, scalar.hex().encode(), scalar.hex().upper().encode(),
                     *(base64.b64encode(scalar[shift:])[:-4] for shift in range(3)), base64.b64encode(der)[48:80]]
            for path in looked_at:
                data = path.read_bytes()
                for form in forms:
                    self.assertNotIn(form, data, f'{path} holds the key of {key}')
                self.assertNotIn(b'PRIVATE KEY', data, path)
        limits = (process / 'limits').read_text(encoding='utf-8')
        self.assertRegex(limits, r'Max core file size +0 +0 ')
        der = subprocess.run(['openssl', 'x509', '-in', target / 'svid.pem', '-outform', 'der'], capture_output=True, check=True)
        self.assertIn(serial_of(der.stdout), log.issued_now())


class AuditTailTest(NodeTest):
    def running(self):
        node = self.started_node([entry('/me', ME)], config=small())
        return node, AuditView(node)

    def test_json_is_byte_for_byte_what_is_in_the_file(self):
        node, log = self.running()
        node.fetch()
        done = subprocess.run([node.binary, 'audit', 'tail', '-n', '4', '--output', 'json'], capture_output=True, check=True,
                              env=node.client_environment(), timeout=30)
        shown = done.stdout.split(b'\n')[:-1]
        self.assertEqual(len(shown), 4)
        lines = log.bytes()
        at = lines.index(shown[0])
        self.assertEqual(lines[at:at + 4], shown)

    def test_text_is_a_line_for_each_record(self):
        node, _ = self.running()
        serial = node.fetch()['svids'][0]['serial']
        done = node.cli('audit', 'tail', '-n', '50')
        self.assertEqual(done.returncode, EXIT_OK, done.stderr)
        [fetched] = [line for line in done.stdout.splitlines() if ' fetch ' in line]
        for word in ('decision=allow', 'spiffe_id=spiffe://example.org/me', f'serial={serial}', f'uid={os.geteuid()}'):
            self.assertIn(word, fetched)
        self.assertEqual(node.cli('audit', 'tail', '-n', '0').stdout, '')

    def test_follow_prints_a_new_record_within_a_second(self):
        node, log = self.running()
        tail = node.start_cli('audit', 'tail', '--follow', '-n', '1', '--output', 'json')
        tail.line()
        log.wait(kind='admin', action='TailAudit')
        serial = node.fetch()['svids'][0]['serial']
        kinds = []
        while 'fetch' not in kinds:
            line = tail.json(0.5)  # twice that; more where the agent is instrumented
            kinds.append(line['kind'])
            if line['kind'] in ('issue', 'fetch'):
                self.assertEqual(line['serial'], serial)
        self.assertLess(kinds.index('issue'), kinds.index('fetch'))

    def test_follow_goes_on_over_a_rotation_without_leaving_out_a_line(self):
        node, log = self.running()
        tail = node.start_cli('audit', 'tail', '--follow', '-n', '0', '--output', 'json')
        log.wait(kind='admin', action='TailAudit')
        def rotated():
            node.run([PYTHON, HERE / 'raw_call.py', 'fetches', node.socket, 60])
            return log.lines(kind='audit', action='rotate')
        eventually(rotated, 15, 'a rotation')
        last = log.lines()[-1]['seq']
        numbers = [tail.json()['seq']]
        while numbers[-1] < last:
            numbers.append(tail.json()['seq'])
        self.assertEqual(numbers, list(range(numbers[0], numbers[-1] + 1)))

    def test_sigterm_ends_the_agent_while_somebody_follows(self):
        node, log = self.running()
        tail = node.start_cli('audit', 'tail', '--follow', '-n', '0')
        log.wait(kind='admin', action='TailAudit')
        self.assertEqual(node.stop(seconds=5), 0)
        tail.wait()
        log.check()


class AuditEvidenceTest(NodeTest):
    """What an auditor has: copies of the log, of the public key, and of the checkpoints."""

    def setUp(self):
        elsewhere = f'/tmp/lanyard-checkpoints-{os.getpid()}'
        self.addCleanup(lambda: pathlib.Path(elsewhere).unlink(missing_ok=True))
        self.subject = self.started_node([entry('/me', ME)], config=small({'checkpoints_to': elsewhere}))
        for _ in range(5):
            self.subject.fetch()
        self.subject.stop()
        log = AuditView(self.subject)
        log.check()
        self.copy = self.subject.dir / 'copy'
        self.copy.mkdir()
        self.log, self.key, self.checkpoints = (self.copy / name for name in ('log.jsonl', 'key.pem', 'checkpoints'))
        shutil.copy(log.audit, self.log)
        shutil.copy(log.key, self.key)
        shutil.copy(elsewhere, self.checkpoints)
        shutil.rmtree(self.subject.data)  # nothing of the machine is needed

    def verify(self, *more):
        return self.subject.cli('audit', 'verify', self.log, '--key', self.key, *more)

    def with_copies(self):
        return self.verify('--checkpoints', self.checkpoints)

    def found_at(self, line, *more):
        """The log is not intact, and the line is named."""
        done = self.verify(*more)
        self.assertEqual(done.returncode, EXIT_FAILED, done.stdout + done.stderr)
        self.assertIn(f'problem: {self.log}:{line}: ', done.stdout)
        self.assertIn('NOT intact', done.stdout)

    def lines(self):
        return self.log.read_bytes().splitlines(keepends=True)

    def write(self, lines):
        self.log.write_bytes(b''.join(lines))

    def test_copies_are_enough_to_verify(self):
        done = self.with_copies()
        self.assertEqual(done.returncode, EXIT_OK, done.stdout + done.stderr)
        self.assertIn('intact', done.stdout)
        told = self.verify('--checkpoints', self.checkpoints, '--output', 'json')
        verdict = json.loads(told.stdout)
        self.assertEqual((verdict['intact'], verdict['records'], verdict['problems']), (True, len(self.lines()), []))

    def test_a_changed_byte_is_found_wherever_it_is(self):
        lines = self.lines()
        for number in (0, len(lines) // 2, len(lines) - 2):
            changed = lines[number].replace(b'development', b'Development', 1)
            self.assertNotEqual(changed, lines[number])
            self.write([*lines[:number], changed, *lines[number + 1:]])
            self.found_at(number + 2)

    def test_the_last_line_is_vouched_for_by_the_copies_alone(self):
        lines = self.lines()
        self.write([*lines[:-1], lines[-1].replace(b'development', b'Development', 1)])
        self.found_at(len(lines), '--checkpoints', self.checkpoints)

    def test_a_removed_line_is_found(self):
        lines = self.lines()
        for number in (1, len(lines) // 2, len(lines) - 2):
            self.write([*lines[:number], *lines[number + 1:]])
            self.found_at(number + 1)

    def test_lines_in_another_order_and_twice_are_found(self):
        lines = self.lines()
        self.write([*lines[:3], lines[4], lines[3], *lines[5:]])
        self.found_at(4)
        self.write([*lines[:4], *lines[3:]])
        self.found_at(5)

    def test_lines_cut_off_at_the_end_are_found_with_the_copies_of_checkpoints(self):
        lines = self.lines()
        for kept in (len(lines) - 1, len(lines) - 3, 4):
            self.write(lines[:kept])
            self.assertEqual(self.verify().returncode, EXIT_OK, 'nothing but the copies shows it')
            done = self.with_copies()
            self.assertEqual(done.returncode, EXIT_FAILED)
            self.assertIn(f'problem: {self.checkpoints}:', done.stdout)

    def test_a_chain_made_anew_without_the_key_is_found(self):
        lines, hashed, anew = self.lines(), '0' * 64, []
        for text in lines:
            text = text.replace(b'"uid":%d' % os.geteuid(), b'"uid":4242', 1)
            text = re.sub(rb'"prev_hash":"[0-9a-f]{64}"', b'"prev_hash":"%s"' % hashed.encode(), text)
            if b'"kind":"checkpoint"' in text:
                text = re.sub(rb'"hash":"[0-9a-f]{64}"', b'"hash":"%s"' % hashed.encode(), text, count=1)
            hashed = hashlib.sha256(text.rstrip(b'\n')).hexdigest()
            anew.append(text)
        self.assertNotEqual(anew, lines)
        self.write(anew)
        done = self.verify()
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertRegex(done.stdout, rf'problem: {self.log}:\d+: checkpoint: ')

    def test_another_key_and_no_key_are_errors(self):
        other = self.copy / 'other.pem'
        subprocess.run(f'openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out {other}', shell=True,
                       check=True, capture_output=True)
        done = self.subject.cli('audit', 'verify', self.log, '--key', other)
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertRegex(done.stdout, rf'problem: {self.log}:\d+: checkpoint: ')
        done = self.subject.cli('audit', 'verify', self.log)
        self.assertEqual(done.returncode, EXIT_FAILED)
        self.assertIn('--key', done.stderr)
