"""Calls the Workload API with grpcio in ways that its own stubs do not; prints the status as JSON.

    grpc_abuse.py SOCKET no-header | false-header | message SIZE | metadata SIZE | unknown-method | no-protobuf
"""

import json
import sys

import grpc

path, how, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
method, metadata, message = '/SpiffeWorkloadAPI/FetchX509SVID', [('workload.spiffe.io', 'true')], b''
if how == 'no-header':
    metadata = []
elif how == 'false-header':
    metadata = [('workload.spiffe.io', 'True')]
elif how == 'message':
    # field 15, length-delimited, then so many bytes
    length = size
    prefix = b'\x7a'
    while length > 0x7f:
        prefix += bytes([length & 0x7f | 0x80])
        length >>= 7
    message = prefix + bytes([length]) + b'x' * size
elif how == 'metadata':
    metadata.append(('filler', 'x' * size))
elif how == 'unknown-method':
    method = '/SpiffeWorkloadAPI/FetchNothing'
elif how == 'no-protobuf':
    message = b'\xff\xff\xff\xff'

options = [('grpc.max_send_message_length', -1)]
with grpc.insecure_channel(f'unix://{path}', options=options) as channel:
    call = channel.unary_stream(method, request_serializer=None, response_deserializer=None)
    try:
        next(call(message, metadata=metadata, timeout=30))
        answer = {'code': 'OK', 'details': ''}
    except grpc.RpcError as error:
        answer = {'code': error.code().name, 'details': error.details()}
print(json.dumps(answer))
