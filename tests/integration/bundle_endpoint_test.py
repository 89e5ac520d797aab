"""The bundle endpoint: what curl and Python's ssl get of it, what it proves itself with, and what hostile clients get."""

import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from bundle_endpoint import EndpointTest
from federation_test import FEDERATING, ME, PARTNER
from node import EXIT_FAILED, EXIT_OK, entry, eventually
from partner import put
from process import scaled

OWN_ID = 'spiffe://example.org/lanyard/bundle-endpoint'


class ServedTest(EndpointTest):
    def test_curl_fetches_the_document_by_a_given_certificate(self):
        node = self.serving(cert=True)
        done = subprocess.run(['curl', '-sS', '-i', '--cacert', node.dir / 'first.crt', f'https://localhost:{node.port}/',
                               '--resolve', f'localhost:{node.port}:127.0.0.1'], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        head, body = done.stdout.replace('\r\n', '\n').split('\n\n', 1)
        self.assertTrue(head.startswith('HTTP/1.1 200 OK\n'), head)
        self.assertIn('\nContent-Type: application/json\n', head + '\n')
        self.assertIn('\nCache-Control: no-store\n', head + '\n')
        document = json.loads(body)
        fetched = json.loads(node.cli('fetch', 'bundle', '--output', 'json').stdout)['spiffe://example.org']
        self.assertEqual(document['keys'], fetched['keys'])
        self.assertEqual(sorted(key['use'] for key in document['keys']), ['jwt-svid', 'wit-svid', 'x509-svid'])
        self.assertEqual(document['spiffe_refresh_hint'], 300)
        self.assertIsInstance(document['spiffe_sequence'], int)

    def test_without_files_it_proves_itself_with_an_svid_of_its_own(self):
        node = self.serving()
        bundle = self.file(node, 'bundle.pem', node.cli('fetch', 'bundle').stdout.encode())
        context = ssl.create_default_context(cafile=str(bundle))
        context.check_hostname = False  # SPIFFE_Federation §5.2.2: by its SPIFFE ID, not by a host name
        names = self.shake(node, context).getpeercert()['subjectAltName']
        self.assertEqual(names, (('URI', OWN_ID),))
        self.assertEqual(self.get(node, context=context)[0].status, 200)

    def test_another_agent_takes_what_is_served_as_a_federated_bundle(self):
        node = self.serving()
        other = self.node([FEDERATING])
        served = json.dumps(self.document(node))
        put(other.dir / 'partner.json', served)
        other.write_config(more={'federation': {'trust_domains': {'partner.example': {
            'bundle_path': str(other.dir / 'partner.json')}}}})
        other.start()
        self.assertEqual(other.fetch()['federated_bundles'], {PARTNER: node.cli('fetch', 'bundle').stdout.split('\n', 1)[1]})

    def test_head_and_what_is_not_there(self):
        node = self.serving()
        answer, body = self.get(node, method='HEAD')
        self.assertEqual((answer.status, body), (200, b''))
        self.assertGreater(int(answer.getheader('content-length')), 100)
        self.assertEqual(self.get(node, '/metrics')[0].status, 404)
        self.assertEqual(self.get(node, method='POST')[0].status, 405)

    def test_the_number_rises_when_the_authority_rotates_and_survives_a_restart(self):
        node = self.serving()
        first = self.document(node)
        self.assertEqual(node.cli('ca', 'rotate').returncode, EXIT_OK)
        # Certificates and both kinds of tokens have authorities of their own, which rotate one after the other.
        second = eventually(lambda: len((now := self.document(node))['keys']) == 2 * len(first['keys']) and now, 10, 'the new bundle')
        self.assertGreater(second['spiffe_sequence'], first['spiffe_sequence'])
        node.stop()
        node.start()
        node.port = int(eventually(lambda: (found := re.findall(r'bundle endpoint on 127\.0\.0\.1:(\d+)$', node.log_text(),
                                                                re.MULTILINE))[1:] and found, 10, 'the new address')[-1])
        eventually(lambda: self.speaks(node), 10, 'TLS')
        self.assertEqual(self.document(node), second)

    def test_no_workload_can_have_the_identity_of_the_endpoint(self):
        node = self.node([entry('/lanyard/bundle-endpoint', ME)])
        checked = node.cli('config', 'check', node.config)
        self.assertEqual(checked.returncode, EXIT_FAILED)
        self.assertIn("the agent's own, for its bundle endpoint", checked.stderr)


class RotationTest(EndpointTest):
    def test_its_svid_is_renewed_and_no_connection_is_dropped(self):
        node = self.serving(x509_ttl='6s')
        first = self.speaks(node)
        open_one = self.shake(node)
        renewed = eventually(lambda: (now := self.speaks(node)) != first and now, 10, 'another certificate')
        self.assertNotEqual(renewed, first)
        open_one.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        answer = open_one.recv(4096)
        self.assertTrue(answer.startswith(b'HTTP/1.1 200'), answer)

    def test_new_files_are_taken_while_it_serves(self):
        node = self.serving(cert=True)
        self.assertIn('CN = first', self.shown(node))
        failed, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                try:
                    if self.get(node)[0].status != 200:
                        failed.append('status')
                except OSError as error:
                    failed.append(error)
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            self.give(node, 'second')
            eventually(lambda: 'CN = second' in self.shown(node), 10, 'the new certificate')
        finally:
            stop.set()
            thread.join()
        self.assertEqual(failed, [])

    def test_broken_files_keep_the_last_good_certificate_and_are_told(self):
        node = self.serving(cert=True)
        (node.dir / 'cert.pem').write_text('garbage', encoding='ascii')
        [finding] = eventually(lambda: self.findings(node), 10, 'a finding')
        self.assertIn('goes on with an older certificate', finding['text'])
        self.assertIn('CN = first', self.shown(node))
        self.give(node, 'second')
        eventually(lambda: not self.findings(node) and 'CN = second' in self.shown(node), 10, 'the repaired one')
        (node.dir / 'key.pem').chmod(0o644)
        (node.dir / 'key.pem').rename(node.dir / 'moved.pem')
        (node.dir / 'moved.pem').rename(node.dir / 'key.pem')
        finding = eventually(lambda: self.findings(node), 10, 'a finding')[0]
        self.assertIn('can be read by other users', finding['text'])

    def test_files_that_are_not_there_serve_nobody_until_they_come(self):
        node = self.node([entry('/me', ME)])
        node.write_config(more={'endpoints': {'metrics': '', 'health': '', 'bundle': {
            'address': '127.0.0.1:0', 'cert': str(node.dir / 'cert.pem'), 'key': str(node.dir / 'key.pem')}}})
        node.start()
        node.port = int(eventually(lambda: re.findall(r'bundle endpoint on 127\.0\.0\.1:(\d+)$', node.log_text(), re.MULTILINE))[-1])
        [finding] = eventually(lambda: self.findings(node), 10, 'a finding')
        self.assertIn('answers nobody', finding['text'])
        self.assertIsNone(self.speaks(node))
        self.assertEqual(node.fetch_ids(), ['spiffe://example.org/me'], 'everything else is served')
        self.give(node, 'late')
        eventually(lambda: self.speaks(node), 10, 'TLS')


class HostileTest(EndpointTest):
    def alive(self, node):
        self.assertEqual(self.get(node)[0].status, 200)

    def raw(self, node, *pieces, pause=0.0):
        """What comes back of bytes that are sent as they are, until the server closes."""
        with socket.create_connection(('127.0.0.1', node.port), 20) as connection:
            got = b''
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause)
                while more := connection.recv(4096):
                    got += more
            except OSError:
                pass
            return got

    def test_garbage_and_plain_http_get_no_answer(self):
        node = self.serving()
        for garbage in (b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', os.urandom(5000), b'\x16\x03\x01\xff\xff' + b'x' * 70000, b'\0' * 100,
                        b'\x80\x2e\x01\x00\x02' + b'x' * 44):
            self.assertNotIn(b'keys', self.raw(node, garbage))
        self.alive(node)

    def test_a_client_without_a_server_name_is_answered(self):
        node = self.serving()
        self.shake(node).sendall(b'GET / HTTP/1.0\r\n\r\n')
        connection = self.shake(node, server_hostname=None)
        connection.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        self.assertTrue(connection.recv(4096).startswith(b'HTTP/1.1 200'))

    def test_old_tls_and_weak_suites_are_refused(self):
        node = self.serving()
        for options, good in ((['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'], False), (['-tls1', '-cipher', 'ALL:@SECLEVEL=0'], False),
                              (['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0'], False), (['-tls1_2'], True),
                              (['-tls1_3'], True), (['-alpn', 'h2'], False), (['-alpn', 'h2,http/1.1'], True)):
            done = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{node.port}', *options], input='', text=True,
                                  capture_output=True, check=False, timeout=30)
            self.assertEqual('BEGIN CERTIFICATE' in done.stdout and done.returncode == 0, good, (options, done.stdout, done.stderr))
        self.alive(node)

    def test_a_handshake_that_does_not_go_on_is_ended(self):
        node = self.serving()
        begin = time.monotonic()
        self.assertEqual(self.raw(node, b'\x16\x03\x01\x02\x00\x01'), b'')
        self.assertEqual(self.raw(node), b'')
        self.assertLess(time.monotonic() - begin, 2 * scaled(8))
        self.alive(node)

    def test_a_handshake_byte_by_byte_does_not_hold_a_place(self):
        node = self.serving()
        begin = time.monotonic()
        self.raw(node, *[bytes([byte]) for byte in b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'x' * 100], pause=0.1)
        self.assertLess(time.monotonic() - begin, scaled(13))
        self.alive(node)

    def test_many_clients_that_do_nothing_do_not_keep_others_out(self):
        node = self.serving()
        idle = [socket.create_connection(('127.0.0.1', node.port), 10) for _ in range(200)]
        try:
            for _ in range(5):
                self.alive(node)
        finally:
            for connection in idle:
                connection.close()

    def test_a_request_that_is_too_long_is_refused_inside_tls(self):
        node = self.serving()
        for request, status in ((b'GET /' + b'a' * 3000 + b' HTTP/1.1\r\n\r\n', b'414'),
                                (b'GET / HTTP/1.1\r\nX: ' + b'a' * 20000 + b'\r\n\r\n', b'431'), (b'nonsense\r\n\r\n', b'400')):
            connection = self.shake(node)
            try:
                connection.sendall(request)
            except OSError:
                pass
            self.assertTrue(connection.recv(4096).startswith(b'HTTP/1.1 ' + status), status)
        self.alive(node)

    def test_clients_are_not_asked_for_a_certificate(self):
        node = self.serving()
        done = subprocess.run(['openssl', 's_client', '-connect', f'127.0.0.1:{node.port}'], input='', text=True,
                              capture_output=True, check=False, timeout=30)
        self.assertIn('No client certificate CA names sent', done.stdout)
        self.assertNotIn('Requested Signature Algorithms', done.stdout)
