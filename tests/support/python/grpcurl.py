"""grpcurl against a node's workload socket: it knows nothing about SPIFFE, and has what it shows from reflection."""

import json

from peers import PEERS

GRPCURL = PEERS / 'bin/grpcurl'
TRUE = ('workload.spiffe.io: true',)


def call(node, method, request=None, headers=TRUE, seconds=20):
    """How a call of SpiffeWorkloadAPI ended, with what was printed: each message as JSON, a failure with its code."""
    return node.run([*_command(headers, request or {}, seconds), f'unix://{node.socket}', f'SpiffeWorkloadAPI/{method}'])


def first_message(node, method, request=None):
    """The first message of a stream, or the only one of a call, which must be OK."""
    stream = node.start_lines([*_command(TRUE, request or {}, 60), f'unix://{node.socket}', f'SpiffeWorkloadAPI/{method}'])
    text = stream.line(20)
    while text.splitlines()[-1] != '}':
        text += stream.line(20)
    stream.stop()
    return json.loads(text)


def _command(headers, request, seconds):
    return [GRPCURL, '-plaintext', *(part for header in headers for part in ('-H', header)), '-max-time', str(seconds),
            '-d', json.dumps(request)]
