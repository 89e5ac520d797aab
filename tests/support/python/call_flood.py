"""Calls as fast as they are taken, on some connections at once; prints what became of them.

    call_flood.py SOCKET SECONDS CONNECTIONS CALLS [hold] [jwt]

Each connection has up to CALLS calls open. A call that is answered is cancelled (hold: it is kept), and the next one begins
at once; a connection that the agent ends is opened again at once. The calls are FetchX509SVID; with jwt, FetchJWTSVID for
audiences of which nobody has named one before, so that each wants a signature.
"""

import collections
import itertools
import json
import os
import re
import selectors
import socket
import struct
import sys
import time

from raw_call import ACK, DATA, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE, call_frames, frame

RST_STREAM, GOAWAY = 3, 7
CANCEL = struct.pack('>I', 8)
LAST_NUMBER = 1 << 24  # then a connection is opened anew
audiences = (f'https://ledger.example.org/{os.getpid()}/{number}'.encode() for number in itertools.count())


def next_call(number, jwt):
    if not jwt:
        return call_frames(number)
    audience = next(audiences)
    return call_frames(number, '/SpiffeWorkloadAPI/FetchJWTSVID', message=b'\x0a' + bytes([len(audience)]) + audience)


class Connection:
    def __init__(self, path, calls, how, came):
        self.calls, self.hold, self.jwt, self.came = calls, 'hold' in how, 'jwt' in how, came
        self.open, self.number, self.received, self.to_send = set(), 1, b'', b''
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.setblocking(False)
        self.socket.connect(path)
        self.send(PREFACE + frame(SETTINGS, 0, 0))
        self.fill()

    def send(self, data):
        self.to_send += data
        if self.to_send:
            try:
                self.to_send = self.to_send[self.socket.send(self.to_send):]
            except BlockingIOError:
                pass

    def fill(self):
        batch = b''
        while len(self.open) < self.calls and len(self.to_send) + len(batch) < 1 << 16:
            batch += next_call(self.number, self.jwt)
            self.open.add(self.number)
            self.number += 2
            self.came['calls'] += 1
        self.send(batch)

    def on_readable(self):
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionError
        self.received += piece
        while len(self.received) >= 9:
            end = 9 + int.from_bytes(self.received[:3], 'big')
            if len(self.received) < end:
                break
            kind, flags = self.received[3], self.received[4]
            stream = int.from_bytes(self.received[5:9], 'big')
            payload, self.received = self.received[9:end], self.received[end:]
            self.take(kind, flags, stream, payload)
        self.fill()
        if self.number > LAST_NUMBER:
            raise ConnectionError

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == DATA and payload:
            self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack('>I', len(payload))))
            if stream in self.open and not self.hold:
                self.over(stream, 'answered')
                self.send(frame(RST_STREAM, 0, stream, CANCEL))
        elif kind == HEADERS:
            status = re.search(rb'grpc-status.(\d+)', payload, re.DOTALL)
            if status:
                self.over(stream, f'status {int(status[1])}')
        elif kind == RST_STREAM:
            self.over(stream, 'reset')
        elif kind == GOAWAY:
            raise ConnectionError

    def over(self, stream, how):
        if stream in self.open:
            self.open.discard(stream)
            self.came[how] += 1


def flood(path, seconds, connections, calls, how):
    came, waiting = collections.Counter(), selectors.DefaultSelector()
    end = time.monotonic() + seconds
    retry, open_now = connections, 0
    while time.monotonic() < end:
        for _ in range(retry):
            try:
                connection = Connection(path, calls, how, came)
            except OSError:  # the listener's queue is full
                came['not connected'] += 1
                break
            waiting.register(connection.socket, selectors.EVENT_READ, connection)
            open_now += 1
            retry -= 1
        for key, _ in waiting.select(0.01):
            try:
                key.data.on_readable()
            except OSError:
                waiting.unregister(key.fileobj)
                key.fileobj.close()
                came['ended'] += 1
                open_now -= 1
                retry += 1
    print(json.dumps({'seconds': seconds, 'came': came}), flush=True)


if __name__ == '__main__':
    flood(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
