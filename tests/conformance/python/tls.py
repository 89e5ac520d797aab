#!/usr/bin/env python3
"""The conversation of Lanyard's demo programs, with an X509Source of the package spiffe and Python's own ssl.

    tls-listen --peer ID --connections N  a server on loopback that greets ID and nobody else, reads a line and answers it
    tls-dial --connect ADDR --peer ID     a client of a server that must be ID

Prints one JSON object a line, with the fields of the Go program's verbs of these names. The socket comes from
SPIFFE_ENDPOINT_SOCKET.
"""

import argparse
import json
import os
import socket
import ssl
import sys

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from spiffe import X509Source

PATIENCE = 30


def emit(**fields):
    print(json.dumps(fields), flush=True)


def make_context(source, role):
    """An SSLContext that shows the newest SVID and trusts the authorities of its trust domain; the ID is checked later."""
    svid = source.svid
    context = ssl.SSLContext(role)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    authorities = source.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain).x509_authorities
    context.load_verify_locations(cadata=''.join(one.public_bytes(Encoding.PEM).decode() for one in authorities))
    key = svid.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b''.join(one.public_bytes(Encoding.PEM) for one in svid.cert_chain)
    # ssl reads keys from files only; this one has no name and is gone with its descriptor.
    with os.fdopen(os.memfd_create('svid', os.MFD_CLOEXEC), 'wb') as file:
        file.write(key + chain)
        file.flush()
        context.load_cert_chain(f'/proc/self/fd/{file.fileno()}')
    return context


def check_peer(connection, expected):
    """The SPIFFE ID of the other side. Nothing may be sent or believed before this."""
    uris = [value for kind, value in connection.getpeercert().get('subjectAltName', ()) if kind == 'URI']
    if uris != [expected]:
        raise PermissionError(f'the peer is {uris}, not {expected}')
    return uris[0]


def read_line(file):
    line = file.readline(4096)
    if not line.endswith('\n'):
        raise ConnectionError('the other side closed the connection')
    return line[:-1]


def answer(context, plain, peer):
    with context.wrap_socket(plain, server_side=True) as connection:
        name = check_peer(connection, peer)
        with connection.makefile('rw', encoding='utf-8', newline='\n') as file:
            file.write('hello from python\n')
            file.flush()
            request = read_line(file)
            file.write('order 4711 is on its way\n')
        emit(peer=name, request=request, version=connection.version())


def listen(peer, connections):
    with X509Source(timeout_in_seconds=PATIENCE) as source, socket.create_server(('127.0.0.1', 0)) as listener:
        emit(listening='{}:{}'.format(*listener.getsockname()))
        for _ in range(connections):
            plain, _ = listener.accept()
            with plain:
                plain.settimeout(PATIENCE)
                try:
                    answer(make_context(source, ssl.PROTOCOL_TLS_SERVER), plain, peer)
                except OSError as error:
                    emit(refused=str(error))


def dial(address, peer):
    host, port = address.rsplit(':', 1)
    with X509Source(timeout_in_seconds=PATIENCE) as source:
        context = make_context(source, ssl.PROTOCOL_TLS_CLIENT)
        with socket.create_connection((host, int(port)), PATIENCE) as plain, context.wrap_socket(plain) as connection:
            name = check_peer(connection, peer)
            with connection.makefile('rw', encoding='utf-8', newline='\n') as file:
                greeting = read_line(file)
                file.write('where is order 4711?\n')
                file.flush()
                emit(peer=name, greeting=greeting, answer=read_line(file), version=connection.version())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('verb', choices=['tls-listen', 'tls-dial'])
    parser.add_argument('--connections', type=int, default=1)
    parser.add_argument('--connect', default='')
    parser.add_argument('--peer', required=True)
    options = parser.parse_args()
    if options.verb == 'tls-listen':
        listen(options.peer, options.connections)
    else:
        dial(options.connect, options.peer)
    return 0


if __name__ == '__main__':
    try:
        code = main()
    except Exception as error:  # every failure ends as one line that a test can read
        emit(error=f'{type(error).__name__}: {error}')
        code = 1
    sys.stdout.flush()
    os._exit(code)  # the package keeps a stream thread that may not end by itself
