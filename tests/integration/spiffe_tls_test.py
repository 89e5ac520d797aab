"""The helper of deploy/demo/mcp with certificates that openssl made: who is let in, and how everybody else is refused.

In each case the helper is the server once and the client once, on asyncio, as uvicorn and httpx have it. The other side is
Python's ssl as it comes, which believes everybody and says what it likes. What was said to whom is counted.
"""

import asyncio
import os
import pathlib
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import unittest
from unittest import mock

from authority import SVID_EXTENSIONS, OpensslAuthority
from node import ROOT

sys.path.insert(0, str(ROOT / 'deploy/demo/mcp'))
import spiffe_tls  # noqa: E402

PEER = 'spiffe://theirs.example/peer'
NEIGHBOUR = 'spiffe://ours.example/neighbour'  # of our own trust domain
LAST_YEAR = ('-crl_lastupdate', '20250101000000Z', '-crl_nextupdate', '20250102000000Z')
REFUSED = (ssl.SSLError, ConnectionError)  # and not a timeout: nobody is left waiting
TLS_1_2 = ssl.TLSVersion.TLSv1_2


class Stranger:
    """Shows any certificate, checks none, asks at once and answers everything."""

    def __init__(self, leaf=None, version=None):
        self.client, self.server = (ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER))
        self.client.check_hostname = False
        self.client.verify_mode = ssl.CERT_NONE
        for context in (self.client, self.server):
            if leaf:
                context.load_cert_chain(leaf, leaf.with_suffix('.key'))
            context.maximum_version = version or ssl.TLSVersion.MAXIMUM_SUPPORTED
        self.session = None

    def ask(self, port):
        """What a server answers, and whether a session was resumed or offered to be."""
        try:
            with socket.create_connection(('127.0.0.1', port), 10) as raw, \
                    self.client.wrap_socket(raw, session=self.session) as connection:
                connection.sendall(b'question')
                answer = connection.recv(100)
                self.session = connection.session
                return answer, connection.session_reused or self.session.has_ticket
        except REFUSED:
            return b'', False

    def answer(self, listener):
        """What a client asks."""
        try:
            with listener.accept()[0] as raw:
                raw.settimeout(10)
                with self.server.wrap_socket(raw, server_side=True) as connection:
                    question = connection.recv(100)
                    connection.sendall(b'answer')
                    return question
        except REFUSED:
            return b''


class SpiffeTlsTest(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix='lanyard-test-'))
        self.addCleanup(shutil.rmtree, self.dir)
        self.ours, self.theirs = (OpensslAuthority(self.dir / name) for name in ('ours', 'theirs'))
        for authority in (self.ours, self.theirs):
            authority.certify('root', subject='/O=SPIFFE')  # the same name in both: SPIRE has it so
        self.ours.issue('me', 'root', 'URI:spiffe://ours.example/me')
        self.sets = 0
        self.put_files()
        patch = mock.patch.dict(os.environ, LANYARD_SVID_DIR=str(self.dir / 'svid'))
        patch.start()
        self.addCleanup(patch.stop)

    def put_files(self, leaf='me', their_root='root', lists=''):
        """A set as `lanyard exec` swaps it. Without `their_root` their trust domain is not believed."""
        self.sets += 1
        files = self.dir / f'svid/.set-{self.sets}'
        files.mkdir(parents=True)
        ours = self.ours.dir
        copies = {'svid.pem': ours / f'{leaf}.crt', 'svid.key': ours / f'{leaf}.key', 'bundle.pem': ours / 'root.crt',
                  'ours.example.spiffe-trust-bundle.pem': ours / 'root.crt'}
        if their_root:
            copies['theirs.example.spiffe-trust-bundle.pem'] = self.theirs.dir / f'{their_root}.crt'
        for name, source in copies.items():
            shutil.copy(source, files / name)
        (files / 'crl.pem').write_text(lists, encoding='ascii')
        (files / 'link').symlink_to(files.name)
        (files / 'link').replace(self.dir / 'svid/.current')

    def lists(self, *revoked, **options):
        return self.ours.list_revoked('root', [self.ours.serial_of(name) for name in revoked], **options).read_text(encoding='ascii')

    # The two directions, each with what was said.

    async def _as_server(self, peer_id, asks):
        questions = []

        async def answer(reader, writer):
            questions.append(await reader.read(100))
            writer.write(b'answer')
            await writer.drain()
            writer.close()
        server = await asyncio.start_server(answer, '127.0.0.1', 0, ssl=spiffe_tls.server_context(peer_id))
        async with server:
            return questions, await asyncio.to_thread(asks, server.sockets[0].getsockname()[1])

    def as_server(self, asks, peer_id=PEER):
        """The questions that our server read, and what asks(port) returned."""
        return asyncio.run(self._as_server(peer_id, asks))

    async def _as_client(self, peer_id, answers):
        with socket.create_server(('127.0.0.1', 0)) as listener:
            listener.settimeout(10)
            question = asyncio.create_task(asyncio.to_thread(answers, listener))
            try:
                reader, writer = await asyncio.open_connection(*listener.getsockname(), ssl=spiffe_tls.client_context(peer_id))
                writer.write(b'question')
                got = await reader.read(100)
                writer.close()
            except ssl.SSLError as error:
                got = error
            return got, await question

    def as_client(self, answers, peer_id=PEER):
        """What our client was answered or why it was not, and what answers(listener) returned."""
        return asyncio.run(self._as_client(peer_id, answers))

    def accepts(self, leaf, peer_id=PEER):
        stranger = Stranger(leaf)
        self.assertEqual(self.as_server(stranger.ask, peer_id), ([b'question'], (b'answer', False)))
        self.assertEqual(self.as_client(stranger.answer, peer_id), (b'answer', b'question'))

    def refuses(self, leaf, why, peer_id=PEER):
        self.refuses_client(Stranger(leaf).ask, why, peer_id)
        self.refuses_server(Stranger(leaf).answer, why, peer_id)

    def refuses_client(self, asks, why, peer_id=PEER):
        with self.assertLogs('spiffe_tls', 'WARNING') as log:
            self.assertEqual(self.as_server(asks, peer_id), ([], (b'', False)))
        self.assertRegex(log.output[0], f'refused a connection: .*{why}')

    def refuses_server(self, answers, why, peer_id=PEER):
        error, question = self.as_client(answers, peer_id)
        self.assertIsInstance(error, ssl.SSLError)
        self.assertRegex(str(error), why)
        self.assertEqual(question, b'')

    # Who is let in.

    def test_a_peer_with_the_expected_id_is_let_in_directly_or_by_an_intermediate(self):
        self.accepts(self.theirs.issue('peer', 'root', f'URI:{PEER}'))
        self.theirs.certify('between', 'root')
        leaf = self.theirs.issue('below', 'between', f'URI:{PEER},DNS:peer.example')
        leaf.write_text(leaf.read_text() + (self.theirs.dir / 'between.crt').read_text(), encoding='ascii')
        self.accepts(leaf)

    def test_each_connection_shows_the_certificate_that_is_newest_then(self):
        leaf = self.theirs.issue('peer', 'root', f'URI:{PEER}')
        shown = []

        def look(port):
            for name in ('me', 'me-again'):
                self.ours.issue(name, 'root', 'URI:spiffe://ours.example/me')
                self.put_files(name)
                with socket.create_connection(('127.0.0.1', port), 10) as raw, Stranger(leaf).client.wrap_socket(raw) as connection:
                    shown.append(connection.getpeercert(True) ==
                                 ssl.PEM_cert_to_DER_cert((self.ours.dir / f'{name}.crt').read_text()))
                    self.assertEqual(spiffe_tls.own_identity().serial, self.ours.serial_of(name).lower())
        self.as_server(look)
        self.assertEqual(shown, [True, True])

    def test_no_session_is_resumed(self):
        stranger = Stranger(self.theirs.issue('peer', 'root', f'URI:{PEER}'))

        def twice(port):
            return [stranger.ask(port), stranger.ask(port)]
        self.assertEqual(self.as_server(twice), ([b'question'] * 2, [(b'answer', False)] * 2))

    # Who is not.

    def test_a_certificate_must_have_one_uri_and_that_the_expected_id(self):
        for number, names in enumerate((f'URI:{PEER},URI:{PEER}-too', f'URI:{PEER}-too,URI:{PEER}', f'URI:{PEER},URI:{PEER}',
                                        'DNS:theirs.example', '', f'URI:{PEER}-too', f'URI:{PEER}/', f'URI:{PEER.upper()}',
                                        'URI:spiffe://theirs.example', f'DNS:{PEER}', f'email:{PEER}')):
            with self.subTest(names):
                self.refuses(self.theirs.issue(f'case-{number}', 'root', names), 'the peer proved to be .*, not ' + PEER)

    def test_an_authority_vouches_for_no_id_of_another_trust_domain(self):
        self.refuses(self.ours.issue('forged', 'root', f'URI:{PEER}'), 'certificate verify failed')
        self.refuses(self.theirs.issue('forged', 'root', f'URI:{NEIGHBOUR}'), 'certificate verify failed', NEIGHBOUR)

    def test_nobody_vouches_for_himself(self):
        self.refuses(self.theirs.issue('selfish', None, f'URI:{PEER}'), 'certificate verify failed: self-signed certificate')

    def test_an_expired_certificate_is_refused(self):
        self.refuses(self.theirs.issue('old', 'root', f'URI:{PEER}', days=-1), 'certificate has expired')

    def test_a_certificate_for_another_use_is_refused(self):
        only_server, only_client = (SVID_EXTENSIONS.replace('serverAuth,clientAuth', usage) for usage in ('serverAuth', 'clientAuth'))
        why = 'unsuitable certificate purpose'
        self.refuses_client(Stranger(self.theirs.issue('server', 'root', f'URI:{PEER}', only_server)).ask, why)
        self.refuses_server(Stranger(self.theirs.issue('client', 'root', f'URI:{PEER}', only_client)).answer, why)
        signs = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'
        self.refuses(self.theirs.issue('authority', 'root', f'URI:{PEER}', signs), why)

    def test_a_client_without_certificate_or_tls_or_with_an_old_one_is_refused(self):
        leaf = self.theirs.issue('peer', 'root', f'URI:{PEER}')
        self.refuses_client(Stranger().ask, 'peer did not return a certificate')
        self.refuses_client(Stranger(leaf, TLS_1_2).ask, 'unsupported protocol')
        self.refuses_server(Stranger(leaf, TLS_1_2).answer, 'protocol version')

        def plain(port):
            with socket.create_connection(('127.0.0.1', port), 10) as connection:
                connection.sendall(b'POST /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n')
                try:
                    return connection.recv(100).replace(b'\x15\x03\x01\x00\x02\x02\x46', b''), False  # an alert is no answer
                except REFUSED:
                    return b'', False
        self.refuses_client(plain, 'http request')

    def test_a_root_that_was_withdrawn_counts_no_more_on_the_next_connection_and_again_when_it_is_back(self):
        leaf = self.theirs.issue('peer', 'root', f'URI:{PEER}')
        self.theirs.certify('successor', subject='/O=SPIFFE')
        server = spiffe_tls.server_context(PEER)
        with mock.patch.object(spiffe_tls, 'server_context', lambda _: server):  # one context for all connections
            self.accepts(leaf)
            self.put_files(their_root=None)
            self.refuses(leaf, 'nobody of theirs.example is believed')
            self.put_files(their_root='successor')
            self.refuses(leaf, 'certificate verify failed')
            self.put_files()
            self.accepts(leaf)

    # Revocation lists: of our own trust domain.

    def test_a_revoked_peer_is_refused_from_the_next_connection_on(self):
        good, bad = (self.ours.issue(name, 'root', f'URI:{NEIGHBOUR}') for name in ('good', 'bad'))
        self.put_files(lists=self.lists())
        self.accepts(bad, NEIGHBOUR)
        self.put_files(lists=self.lists('bad'))
        self.refuses(bad, 'certificate revoked', NEIGHBOUR)
        self.accepts(good, NEIGHBOUR)
        self.accepts(self.theirs.issue('peer', 'root', f'URI:{PEER}'))  # there are no lists of their trust domain

    def test_without_lists_nothing_is_checked_but_once_there_was_one_its_loss_or_expiry_refuses(self):
        leaf = self.ours.issue('good', 'root', f'URI:{NEIGHBOUR}')
        self.accepts(leaf, NEIGHBOUR)
        contexts = spiffe_tls.client_context(NEIGHBOUR), spiffe_tls.server_context(NEIGHBOUR)
        with mock.patch.object(spiffe_tls, 'client_context', lambda _: contexts[0]), \
                mock.patch.object(spiffe_tls, 'server_context', lambda _: contexts[1]):
            self.accepts(leaf, NEIGHBOUR)
            self.put_files(lists=self.lists())
            self.accepts(leaf, NEIGHBOUR)
            self.put_files()
            self.refuses(leaf, 'unable to get certificate CRL', NEIGHBOUR)
            self.put_files(lists=self.lists(dates=LAST_YEAR))
            self.refuses(leaf, 'CRL has expired', NEIGHBOUR)
            self.put_files(lists=self.lists())
            self.accepts(leaf, NEIGHBOUR)

    # What is wrong with ourselves.

    def test_without_an_identity_of_our_own_nobody_is_talked_to_and_the_reason_is_said(self):
        leaf = self.theirs.issue('peer', 'root', f'URI:{PEER}')
        self.ours.issue('old', 'root', 'URI:spiffe://ours.example/me', days=-1)
        self.put_files('old')
        self.refuses(leaf, 'our own certificate is of no use: certificate has expired')
        (self.dir / 'svid/.current').unlink()
        self.refuses(leaf, 'we have no identity: .* is empty')
        with mock.patch.dict(os.environ):
            del os.environ['LANYARD_SVID_DIR']
            self.refuses(leaf, 'LANYARD_SVID_DIR is not set')
        self.put_files()
        (self.dir / f'svid/.set-{self.sets}/svid.key').unlink()
        self.refuses(leaf, 'read our identity from .*: No such file')
        self.put_files()
        self.accepts(leaf)

    # How a program could do it wrong.

    def test_what_is_no_spiffe_id_of_a_workload_is_no_peer(self):
        for wrong in ('', 'theirs.example', 'spiffe://theirs.example', 'spiffe://theirs.example/', 'spiffe://theirs.example/a/../b',
                      'spiffe://theirs.example/a//b', 'spiffe:///a', 'spiffe://Theirs.example/a', 'spiffe://../a%2f', f'{PEER}\n',
                      'spiffe://theirs.example:1/a', 'https://theirs.example/a'):
            with self.subTest(wrong), self.assertRaises(ValueError):
                spiffe_tls.client_context(wrong)

    def test_what_is_set_on_a_context_makes_no_hole_in_it(self):
        leaf = self.ours.issue('forged', 'root', f'URI:{PEER}')
        server = spiffe_tls.server_context(PEER)
        server.verify_mode = ssl.CERT_NONE
        server.load_verify_locations(self.ours.dir / 'root.crt')
        with mock.patch.object(spiffe_tls, 'server_context', lambda _: server):
            self.refuses_client(Stranger(leaf).ask, 'certificate verify failed')
            self.refuses_client(Stranger().ask, 'peer did not return a certificate')

    def test_reading_or_writing_before_the_handshake_does_not_get_around_the_check(self):
        leaf = self.theirs.issue('other', 'root', f'URI:{PEER}-too')
        for first in (lambda connection: connection.write(b'question'), lambda connection: connection.read(100)):
            to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
            us = spiffe_tls.client_context(PEER).wrap_bio(to_us, to_them)
            them = Stranger(leaf).server.wrap_bio(to_them, to_us, server_side=True)
            for step in (lambda: first(us), them.do_handshake):
                with self.assertRaises(ssl.SSLWantReadError):
                    step()
            with self.assertRaisesRegex(ssl.SSLCertVerificationError, 'the peer proved to be'):
                first(us)

    def test_sockets_are_checked_as_well_and_only_what_can_be_checked_at_once_is_wrapped(self):
        context = spiffe_tls.client_context(PEER)

        def ask(leaf):
            with socket.create_server(('127.0.0.1', 0)) as listener:
                answering = threading.Thread(target=Stranger(leaf).answer, args=[listener])
                answering.start()
                try:
                    with socket.create_connection(listener.getsockname(), 10) as raw, context.wrap_socket(raw) as connection:
                        connection.sendall(b'question')
                        return connection.recv(100)
                finally:
                    answering.join()
        self.assertEqual(ask(self.theirs.issue('peer', 'root', f'URI:{PEER}')), b'answer')
        with self.assertRaisesRegex(ssl.SSLCertVerificationError, 'the peer proved to be'):
            ask(self.theirs.issue('other', 'root', f'URI:{PEER}-too'))
        with socket.create_server(('127.0.0.1', 0)) as listener, self.assertRaises(OSError):
            spiffe_tls.server_context(PEER).wrap_socket(listener, server_side=True)
        one, another = socket.socketpair()
        with one, another, self.assertRaises(ValueError):
            context.wrap_socket(one, do_handshake_on_connect=False)
