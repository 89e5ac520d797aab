#!/usr/bin/env python3
"""A workload written with the Python packages spiffe and spiffe-tls as they come.

    fetch                            one X.509 context
    bundles                          the X.509 bundles
    watch --updates N                one line per update of the X.509 context, until N came
    serve --peer ID --connections N  an mTLS server on loopback that lets only ID in
    call --connect ADDR --peer ID    an mTLS call to a server that must be ID
    jwt --audience A --id ID         JWT-SVIDs, all and the first, verified by the bundles that are fetched, too
    jwt-source --audience A          the same by a JwtSource
    validate-jwt --audience A --as B asks the agent whether a JWT-SVID for A is good for B
    jwt-bundles                      the JWT bundles
    watch-jwt-bundles --updates N    one line per update of them, until N came

Prints one JSON object a line. The socket comes from SPIFFE_ENDPOINT_SOCKET. The Go program beside it takes the same
words and prints the same fields.
"""

import argparse
import json
import os
import sys
import threading

from OpenSSL import SSL
from spiffe import JwtSource, JwtSvid, SpiffeId, WorkloadApiClient, X509Source
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


def describe_jwt(svid, bundle):
    """`verified`: by the package, with the bundle of the trust domain."""
    again = JwtSvid.parse_and_validate(svid.token, bundle, svid.audience)
    return {'id': str(svid.spiffe_id), 'audience': sorted(svid.audience), 'expiry': svid.expiry,
            'verified': again.spiffe_id == svid.spiffe_id, 'token': svid.token}


def key_ids(bundles):
    return {bundle.trust_domain.name: sorted(bundle.jwt_authorities) for bundle in bundles}


def watch(updates, follow, show):
    """Prints what `show` makes of each update that the client's method `follow` reports."""
    done = threading.Event()
    seen = []

    def on_update(update):
        if len(seen) < updates:
            seen.append(update)
            emit(**show(update))
        if len(seen) >= updates:
            done.set()

    def on_error(error):
        emit(error=str(error))
        done.set()

    with WorkloadApiClient() as client:
        handler = follow(client, on_update, on_error)
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


def fetch_jwt(client, audiences, subject):
    bundles = client.fetch_jwt_bundles(timeout=30)
    svids = client.fetch_jwt_svids(audiences, subject, timeout=30)
    first = client.fetch_jwt_svid(audiences, subject, timeout=30)
    described = [describe_jwt(svid, bundles.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain)) for svid in [*svids, first]]
    emit(svids=described[:-1], first=described[-1])


def jwt_from_source(audiences):
    with JwtSource(timeout_in_seconds=30) as source:
        svid = source.fetch_svid(audiences, timeout=30)
        emit(svids=[describe_jwt(svid, source.get_bundle_for_trust_domain(svid.spiffe_id.trust_domain))])


def validate_jwt(client, audiences, verifier):
    token = client.fetch_jwt_svid(audiences, timeout=30).token
    svid = client.validate_jwt_svid(token, verifier, timeout=30)
    emit(id=str(svid.spiffe_id))


def run(options):
    audiences = set(options.audience)
    if options.verb == 'watch':
        return watch(options.updates, WorkloadApiClient.stream_x509_contexts, describe)
    if options.verb == 'watch-jwt-bundles':
        return watch(options.updates, WorkloadApiClient.stream_jwt_bundles, lambda update: {'bundles': key_ids(update.bundles)})
    if options.verb == 'serve':
        return serve(options.peer, options.connections)
    if options.verb == 'call':
        return call(options.connect, options.peer)
    if options.verb == 'jwt-source':
        jwt_from_source(audiences)
        return 0
    with WorkloadApiClient() as client:
        if options.verb == 'fetch':
            emit(**describe(client.fetch_x509_context(timeout=30)))
        elif options.verb == 'bundles':
            emit(svids=None, bundles=sizes(client.fetch_x509_bundles(timeout=30)))
        elif options.verb == 'jwt':
            fetch_jwt(client, audiences, SpiffeId(options.id) if options.id else None)
        elif options.verb == 'validate-jwt':
            validate_jwt(client, audiences, getattr(options, 'as'))
        else:
            emit(bundles=key_ids(client.fetch_jwt_bundles(timeout=30).bundles))
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('verb', choices=['fetch', 'bundles', 'watch', 'serve', 'call', 'jwt', 'jwt-source', 'validate-jwt',
                                         'jwt-bundles', 'watch-jwt-bundles'])
    parser.add_argument('--updates', type=int, default=1)
    parser.add_argument('--connections', type=int, default=1)
    parser.add_argument('--connect', default='')
    parser.add_argument('--peer', default='')
    parser.add_argument('--audience', action='append', default=[])
    parser.add_argument('--as', default='')
    parser.add_argument('--id', default='')
    return run(parser.parse_args())


if __name__ == '__main__':
    try:
        code = main()
    except Exception as error:  # every failure of the package ends as one line that a test can read
        emit(error=f'{type(error).__name__}: {error}')
        code = 1
    sys.stdout.flush()
    os._exit(code)  # the package keeps a stream thread that may not end by itself
