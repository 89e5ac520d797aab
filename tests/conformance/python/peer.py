#!/usr/bin/env python3
"""A workload written with the Python packages spiffe and spiffe-tls as they come.

    fetch                            one X.509 context
    bundles                          the X.509 bundles
    watch --updates N                one line per update of the X.509 context, until N came
    serve --peer ID --connections N  an mTLS server on loopback that lets only ID in
    call --connect ADDR --peer ID    an mTLS call to a server that must be ID

Prints one JSON object a line. The socket comes from SPIFFE_ENDPOINT_SOCKET. The Go program beside it takes the same
words and prints the same fields.
"""

import argparse
import json
import os
import sys
import threading

from OpenSSL import SSL
from spiffe import SpiffeId, WorkloadApiClient, X509Source
from spiffetls import ClientTlsMode, ListenOptions, ServerTlsMode, dial, listen
from spiffetls.tlsconfig.authorize import authorize_id


def emit(**fields):
    print(json.dumps(fields), flush=True)


def describe(context):
    svids = [
        {
            'id': str(svid.spiffe_id),
            'serial': format(svid.leaf.serial_number, 'x'),
            'not_after': svid.leaf.not_valid_after_utc.isoformat(),
            'chain': len(svid.cert_chain),
        }
        for svid in context.x509_svids
    ]
    return {'svids': svids, 'bundles': sizes(context.x509_bundle_set)}


def sizes(bundle_set):
    return {bundle.trust_domain.name: len(bundle.x509_authorities) for bundle in bundle_set.bundles}


def watch(updates):
    done = threading.Event()
    seen = []

    def on_update(context):
        if len(seen) < updates:
            seen.append(context)
            emit(**describe(context))
        if len(seen) >= updates:
            done.set()

    def on_error(error):
        emit(error=str(error))
        done.set()

    with WorkloadApiClient() as client:
        handler = client.stream_x509_contexts(on_update, on_error)
        done.wait(100)
        handler.cancel()
    return 0 if len(seen) >= updates else 1


def peer_id(connection):
    """The URI SAN of the certificate that the other side showed."""
    from cryptography import x509

    names = connection.get_peer_certificate().to_cryptography().extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)[0]


def read_line(connection):
    line = b''
    while not line.endswith(b'\n'):
        line += connection.recv(4096)
    return line.decode()


def serve(peer, connections):
    with X509Source(timeout_in_seconds=30) as source:
        options = ListenOptions(tls_mode=ServerTlsMode.MTLS, authorize_fn=authorize_id(SpiffeId(peer)))
        listener = listen('127.0.0.1:0', source, options)
        host, port = listener.getsockname()
        emit(listening=f'{host}:{port}')
        for _ in range(connections):
            connection, _ = listener.accept()
            try:
                request = read_line(connection)
                name = peer_id(connection)
                connection.sendall(f'hello {name}\n'.encode())
                emit(peer=name, request=request)
                connection.shutdown()
            except SSL.Error as error:
                emit(refused=str(error) or type(error).__name__)
            connection.close()
        listener.close()
    return 0


def call(address, peer):
    with X509Source(timeout_in_seconds=30) as source:
        connection = dial(address, source, ClientTlsMode.TLS, authorize_id(SpiffeId(peer)))
        connection.sendall(b'ping from python\n')
        reply = read_line(connection)
        emit(peer=peer_id(connection), reply=reply)
        connection.close()
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('verb', choices=['fetch', 'bundles', 'watch', 'serve', 'call'])
    parser.add_argument('--updates', type=int, default=1)
    parser.add_argument('--connections', type=int, default=1)
    parser.add_argument('--connect', default='')
    parser.add_argument('--peer', default='')
    options = parser.parse_args()
    if options.verb == 'watch':
        return watch(options.updates)
    if options.verb == 'serve':
        return serve(options.peer, options.connections)
    if options.verb == 'call':
        return call(options.connect, options.peer)
    with WorkloadApiClient() as client:
        if options.verb == 'fetch':
            emit(**describe(client.fetch_x509_context(timeout=30)))
        else:
            emit(svids=None, bundles=sizes(client.fetch_x509_bundles(timeout=30)))
    return 0


if __name__ == '__main__':
    try:
        code = main()
    except Exception as error:  # every failure of the package ends as one line that a test can read
        emit(error=f'{type(error).__name__}: {error}')
        code = 1
    sys.stdout.flush()
    os._exit(code)  # the package keeps a stream thread that may not end by itself
