"""Speaks TLS in front of a Unix socket: what a client sends is decrypted and passed on, and the other way round.

    tls_front.py SOCKET [--cert FILE --key FILE [--clients FILE] [--tls12]] [--host ADDRESS]

Without --cert plain TCP is passed on. With --clients a client must have a certificate that these authorities signed.
Prints its port, then a line for each connection: "open", or "refused: …" with the reason why there was no handshake.
"""

import argparse
import select
import socket
import ssl
import threading

LOCK = threading.Lock()


def say(text):
    with LOCK:
        print(text, flush=True)


def context_for(options):
    if options.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    if options.tls12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if options.clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(options.clients)
    return context


def pass_on(client, server):
    while True:
        decrypted = isinstance(client, ssl.SSLSocket) and client.pending()
        for source in [client] if decrypted else select.select([client, server], [], [])[0]:
            data = source.recv(65536)
            if not data:
                return
            (server if source is client else client).sendall(data)


def serve(raw, context, path):
    with raw:
        try:
            client = context.wrap_socket(raw, server_side=True) if context else raw
        except OSError as failure:
            say(f'refused: {failure}')
            return
        say('open')
        try:
            with client, socket.socket(socket.AF_UNIX) as server:
                server.connect(path)
                pass_on(client, server)
        except OSError:
            pass  # one of the two has gone


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('socket')
    for name in ('--cert', '--key', '--clients'):
        parser.add_argument(name)
    parser.add_argument('--tls12', action='store_true')
    parser.add_argument('--host', default='127.0.0.1')
    options = parser.parse_args()
    context = context_for(options)
    family = socket.AF_INET6 if ':' in options.host else socket.AF_INET
    with socket.create_server((options.host, 0), family=family) as listener:
        say(listener.getsockname()[1])
        while True:
            raw = listener.accept()[0]
            threading.Thread(target=serve, args=(raw, context, options.socket), daemon=True).start()


if __name__ == '__main__':
    main()
