"""One gRPC call written by hand as HTTP/2 frames, for callers that behave as no client library would.

Run as a program it is such a caller: `raw_call.py VERB SOCKET …`; each verb prints one JSON object a line.

    call SOCKET              calls as it should and prints what came
    ask SOCKET METHOD        sends the message whose hexadecimal digits are on stdin; prints the first answer and the status
    follow SOCKET            prints each message and at last the status of one stream
    leave SOCKET COUNT       sends whole calls on COUNT connections and exits without waiting
    inherit SOCKET           connects, exits, and lets a child call on the connection that it inherited
    hand_over SOCKET         calls, leaves the connection to a child that reads the answer, and exits after a line on stdin
    hold SOCKET COUNT BYTES  opens COUNT connections, sends the first BYTES of a call on each, and waits for a line on stdin
    fetches SOCKET COUNT     COUNT connections one after the other, one message each
    streams SOCKET COUNT N   COUNT open streams, until each had N messages
    garbage SOCKET COUNT     sends bytes that are no HTTP/2 on COUNT connections, and prints how many were closed
"""

import json
import os
import random
import re
import selectors
import socket
import struct
import sys
import time

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + struct.pack('>BBI', kind, flags, stream) + payload


def literal(name, value):
    """A header field without indexing and without Huffman code (RFC 7541 §6.2.2)."""
    assert len(name) < 127 and len(value) < 127
    return b'\0' + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def call_frames(number, method='/SpiffeWorkloadAPI/FetchX509SVID', metadata=(('workload.spiffe.io', 'true'),), message=b''):
    """One call with one message, as stream `number` of a connection."""
    fields = [(':method', 'POST'), (':scheme', 'http'), (':path', method), (':authority', 'localhost'),
              ('content-type', 'application/grpc'), ('te', 'trailers'), *metadata]
    block = b''.join(literal(name, value) for name, value in fields)
    body = b'\0' + struct.pack('>I', len(message)) + message
    pieces = [body[at:at + 16384] for at in range(0, len(body), 16384)]  # no larger frame without asking (RFC 9113 §4.2)
    return frame(HEADERS, END_HEADERS, number, block) + b''.join(
        frame(DATA, END_STREAM if piece is pieces[-1] else 0, number, piece) for piece in pieces)


def call_bytes(*method, **more):
    """Everything a client sends for one call with one message, empty if none is given."""
    return PREFACE + frame(SETTINGS, 0, 0) + call_frames(1, *method, **more)


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(path)
    return connection


class Answers:
    """What comes on stream 1 of a connection."""

    def __init__(self, connection):
        self.connection = connection
        self.messages, self.status, self.closed = 0, None, False
        self.data, self.why = b'', ''
        self._received = b''

    def read_some(self):
        """Waits for more bytes and counts what they hold."""
        try:
            piece = self.connection.recv(65536)
        except OSError:
            piece = b''
        if not piece:
            self.closed = True
            return
        self._received += piece
        while len(self._received) >= 9:
            length = int.from_bytes(self._received[:3], 'big')
            if len(self._received) < 9 + length:
                break
            kind, flags, payload = self._received[3], self._received[4], self._received[9:9 + length]
            self._received = self._received[9 + length:]
            self._take(kind, flags, payload)

    def _take(self, kind, flags, payload):
        if kind == SETTINGS and not flags & ACK:
            self.connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.connection.sendall(frame(PING, ACK, 0, payload))
        elif kind == DATA and payload:  # one frame a message: they are small
            self.messages += 1
            self.data += payload
            self.connection.sendall(b''.join(frame(WINDOW_UPDATE, 0, stream, struct.pack('>I', len(payload))) for stream in (0, 1)))
        elif kind == HEADERS:
            status = re.search(rb'grpc-status.(\d+)', payload, re.DOTALL)
            if status:
                self.status = int(status[1])
            why = re.search(rb'grpc-message(.)', payload, re.DOTALL)
            if why:
                length, start = why[1][0], why.end()
                if length == 127:  # RFC 7541 §5.1: the rest of the number follows, seven bits at a time
                    shift, more = 0, True
                    while more:
                        more = payload[start] & 0x80
                        length += (payload[start] & 0x7f) << shift
                        shift, start = shift + 7, start + 1
                self.why = payload[start:start + length].decode()


def read_answer(connection, seconds=10):
    """What came until a message, a status or the end: {'messages': n, 'status': code or None, 'closed': bool}."""
    answers = Answers(connection)
    deadline = time.monotonic() + seconds
    while not answers.messages and answers.status is None and not answers.closed and time.monotonic() < deadline:
        answers.read_some()
    return {'messages': answers.messages, 'status': answers.status, 'closed': answers.closed}


def ask(path, method, message, seconds=30):
    """The first message of the answer (None if there is none), the status (None while a stream is open) and its text."""
    connection = connect(path)
    connection.settimeout(seconds)
    connection.sendall(call_bytes(method, message=message))
    answers = Answers(connection)

    def whole():
        return len(answers.data) >= 5 and len(answers.data) >= 5 + int.from_bytes(answers.data[1:5], 'big')
    while answers.status is None and not answers.closed and not whole():
        answers.read_some()
    answer = answers.data[5:5 + int.from_bytes(answers.data[1:5], 'big')] if whole() else None
    connection.close()
    return answer, answers.status, answers.why


def emit(value):
    print(json.dumps(value), flush=True)


def inherit(path):
    connection = connect(path)
    connecting = os.getpid()
    if os.fork() != 0:
        os._exit(0)
    while os.path.exists(f'/proc/{connecting}') and os.getppid() == connecting:
        time.sleep(0.01)
    try:
        connection.sendall(call_bytes())
        emit(read_answer(connection))
    except OSError:
        emit({'messages': 0, 'status': None, 'closed': True})


def hand_over(path):
    connection = connect(path)
    connection.settimeout(60)
    connection.sendall(call_bytes())
    if os.fork() == 0:
        emit(read_answer(connection, 60))
    else:
        sys.stdin.readline()
    os._exit(0)


def hold(path, count, size):
    connections = [connect(path) for _ in range(count)]
    for connection in connections:
        connection.sendall(call_bytes()[:size])
    emit({'open': len(connections)})
    sys.stdin.readline()


def garbage(path, count):
    chance, closed = random.Random(1), 0
    for _ in range(count):
        connection = connect(path)
        try:
            connection.sendall(chance.randbytes(20000))
            while connection.recv(65536):
                pass
            closed += 1
        except TimeoutError:
            pass
        except OSError:
            closed += 1
        connection.close()
    emit({'closed': closed})


def leave(path, count):
    connections = [connect(path) for _ in range(count)]
    for connection in connections:
        connection.sendall(call_bytes())
    os._exit(0)


def follow(path):
    connection = connect(path)
    connection.settimeout(100)
    connection.sendall(call_bytes())
    answers, seen = Answers(connection), 0
    while answers.status is None and not answers.closed:
        answers.read_some()
        while seen < answers.messages:
            seen += 1
            emit({'message': seen})
    emit({'status': answers.status, 'closed': answers.closed})


def fetches(path, count):
    fetched = 0
    for _ in range(count):
        connection = connect(path)
        connection.sendall(call_bytes())
        fetched += read_answer(connection)['messages']
        connection.close()
    emit({'fetched': fetched})


def streams(path, count, messages):
    waiting = selectors.DefaultSelector()
    for _ in range(count):
        connection = connect(path)
        connection.sendall(call_bytes())
        waiting.register(connection, selectors.EVENT_READ, Answers(connection))
    done = []
    while len(done) < count:
        for key, _ in waiting.select():
            answers = key.data
            answers.read_some()
            if answers.messages >= messages or answers.closed:
                waiting.unregister(key.fileobj)
                done.append(answers.messages)
    emit({'streams': count, 'messages': min(done)})


def main(verb, path, *rest):
    numbers = list(map(int, rest)) if verb != 'ask' else []
    if verb == 'call':
        connection = connect(path)
        connection.sendall(call_bytes())
        emit(read_answer(connection))
    elif verb == 'ask':
        answer, status, why = ask(path, *rest, bytes.fromhex(sys.stdin.read()))
        emit({'answer': answer.hex() if answer is not None else None, 'status': status, 'why': why})
    else:
        verbs = [follow, leave, inherit, hand_over, hold, fetches, streams, garbage]
        {function.__name__: function for function in verbs}[verb](path, *numbers)


if __name__ == '__main__':
    main(*sys.argv[1:])
