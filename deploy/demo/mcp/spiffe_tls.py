"""Mutual TLS between two SPIFFE IDs, from the files that `lanyard exec` keeps fresh. For Python 3.10 or newer, alone.

    context = spiffe_tls.client_context('spiffe://tools.example/orders')      # httpx: AsyncClient(verify=context)
    context = spiffe_tls.server_context('spiffe://agents.example/assistant')  # uvicorn: ssl_context_factory=lambda *_: context

Whoever is at the other end of such a connection has proved to be that SPIFFE ID, before the first byte of a request is
sent or read. Each connection is made from the files as they are then: a rotated certificate, a root withdrawn from a
bundle and a new revocation list count on the next connection; a connection that is open stays open.

The rules: TLS 1.3, never resumed, since a resumed session is not checked again. The peer's certificate has exactly one
URI, the SPIFFE ID (X509-SVID §2); only authorities of that ID's trust domain vouch for it. Host names play no part.
`lanyard exec` has the revocation lists of our own trust domain: once there was one, a peer from there is refused unless
each certificate of its chain is on no current list. What a program sets on a context has no effect, except ALPN.

Thread: any. Failure: ssl.SSLError with the reason, and nothing is let through. Each refusal by a server is a warning of
the logger "spiffe_tls", too, since servers keep failed handshakes to themselves; each peer that was let in an info.
"""

import contextlib
import dataclasses
import logging
import os
import re
import ssl

# SPIFFE-ID §2; a workload's has a path
SPIFFE_ID = re.compile(r'spiffe://([a-z0-9._-]{1,255})((?:/(?!\.{1,2}(?:/|$))[a-zA-Z0-9._-]+)+)')
log = logging.getLogger('spiffe_tls')


def client_context(peer_id):
    """An ssl.SSLContext for connections to `peer_id`, and to nobody else."""
    return _PeerContext(ssl.PROTOCOL_TLS_CLIENT, peer_id)


def server_context(peer_id):
    """An ssl.SSLContext for connections from `peer_id`, and from nobody else."""
    return _PeerContext(ssl.PROTOCOL_TLS_SERVER, peer_id)


@dataclasses.dataclass(frozen=True)
class Identity:
    spiffe_id: str
    serial: str  # of its newest certificate
    not_after: float  # seconds since 1970


def own_identity():
    """Who we are now. ssl.SSLError when we are nobody, or no longer."""
    with _current_files() as files:
        return _identity_in(files)


class _PeerContext(ssl.SSLContext):
    """Makes a context of its own for each connection, from the files as they are then."""

    def __new__(cls, protocol, _):
        return super().__new__(cls, protocol)

    def __init__(self, _, peer_id):
        self._peer_id, self._trust_domain = peer_id, _trust_domain(peer_id)
        self._alpn, self._had_lists = [], False

    def set_alpn_protocols(self, alpn_protocols):
        self._alpn = list(alpn_protocols)

    def wrap_bio(self, *arguments, **options):
        return self._for_one_connection().wrap_bio(*arguments, **options)

    def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True, *arguments, **options):
        sock.getpeername()  # OSError: it has no peer yet. Wrap what a listening socket accepts, each on its own
        if not do_handshake_on_connect:
            raise ValueError('do_handshake_on_connect=False would leave the peer unchecked')
        return self._for_one_connection().wrap_socket(sock, server_side, True, *arguments, **options)

    def _for_one_connection(self):
        context = _bare_context(self.protocol)
        context.sslobject_class, context.sslsocket_class = _CheckedObject, _CheckedSocket
        context.peer_id, context.refusal = self._peer_id, None
        if self._alpn:
            context.set_alpn_protocols(self._alpn)
        try:
            with _current_files() as files:
                self._load(context, files)
        except ssl.SSLError as error:
            context.refusal = error  # for the handshake to raise: a server would leave the connection open if this did
        return context

    def _load(self, context, files):
        own = _identity_in(files)
        context.load_cert_chain(f'{files}/svid.pem', f'{files}/svid.key')
        roots = f'{files}/{self._trust_domain}.spiffe-trust-bundle.pem'
        if not os.path.exists(roots):
            raise _refusal(f'nobody of {self._trust_domain} is believed: there is no root of this trust domain')
        context.load_verify_locations(roots)
        if self._trust_domain == _trust_domain(own.spiffe_id):
            if os.stat(f'{files}/crl.pem').st_size > 0:
                context.load_verify_locations(f'{files}/crl.pem')
                self._had_lists = True
            if self._had_lists:
                context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


class _Checked:
    """A handshake that is only over when the peer is the expected one."""

    def do_handshake(self, *arguments):
        try:
            if self.context.refusal:
                raise self.context.refusal
            super().do_handshake(*arguments)
            ids = _uris(self.getpeercert())
            if ids != [self.context.peer_id]:
                shown = ' and '.join(ids).encode('unicode_escape').decode()  # what a stranger wrote there, on one line
                raise _refusal(f'the peer proved to be {shown or "nobody"}, not {self.context.peer_id}')
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if self.server_side:
                log.warning('refused a connection: %s', error.strerror)
            raise
        log.info('the peer proved to be %s', self.context.peer_id)
        self.checked = True


class _CheckedSocket(_Checked, ssl.SSLSocket):
    pass


class _CheckedObject(_Checked, ssl.SSLObject):
    checked = False

    # OpenSSL does a handshake by itself where there was none before the first byte, and does not look at the ID.
    def read(self, *arguments):
        if not self.checked:
            self.do_handshake()
        return super().read(*arguments)

    def write(self, data):
        if not self.checked:
            self.do_handshake()
        return super().write(data)


@contextlib.contextmanager
def _current_files():
    """The newest set of files, as a directory that goes on being this set when there is a newer one."""
    directory = os.environ.get('LANYARD_SVID_DIR')
    if not directory:
        raise _refusal('LANYARD_SVID_DIR is not set: start this program by `lanyard exec -- …`')
    try:
        descriptor = os.open(f'{directory}/.current', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _refusal(f'we have no identity: {directory} is empty, and `lanyard exec` has said why') from None
    try:
        yield f'/proc/self/fd/{descriptor}'
    except OSError as error:
        if isinstance(error, ssl.SSLError):
            raise
        raise _refusal(f'read our identity from {directory}: {error.strerror}') from error
    finally:
        os.close(descriptor)


def _identity_in(files):
    """Our own certificate as OpenSSL reads and believes it: shown to ourselves, in a handshake in memory."""
    server, client = _bare_context(ssl.PROTOCOL_TLS_SERVER), _bare_context(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(f'{files}/svid.pem', f'{files}/svid.key')
    server.verify_mode = ssl.CERT_NONE
    client.load_verify_locations(f'{files}/bundle.pem')
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    we = client.wrap_bio(to_client, to_server)
    mirror = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (we, mirror, we):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        raise _refusal(f'our own certificate is of no use: {error.verify_message}') from None
    certificate = we.getpeercert()
    [spiffe_id] = _uris(certificate)
    return Identity(spiffe_id, certificate['serialNumber'].lower(), ssl.cert_time_to_seconds(certificate['notAfter']))


def _bare_context(protocol):
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # every authority of a bundle is one to end at
    context.options |= ssl.OP_NO_TICKET
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


def _uris(certificate):
    return [value for kind, value in certificate.get('subjectAltName', ()) if kind == 'URI']


def _trust_domain(spiffe_id):
    match = SPIFFE_ID.fullmatch(spiffe_id)
    if match is None:
        raise ValueError(f'"{spiffe_id}" is not a SPIFFE ID like spiffe://example.org/name')
    return match[1]


def _refusal(reason):
    return ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, reason)
