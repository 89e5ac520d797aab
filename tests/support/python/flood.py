"""A flood of connections that are no calls, as many at once as the agent lets one user have; prints what became of them.

    flood.py SOCKET COUNT AT_ONCE

In turn: random bytes, half a preface, an HTTP/1.1 request, a TLS hello, a whole call cut off, and nothing at all. Each
connection is closed when the agent has closed it, or after 20 ms.
"""

import collections
import json
import random
import selectors
import socket
import sys
import time

from raw_call import PREFACE, call_bytes

PATIENCE = 0.02
TLS_HELLO = bytes.fromhex('160301003d010000390303') + bytes(range(32)) + bytes.fromhex('000002c02b0100000e000a00040002001d000d0002') + b'\0\0'


def payloads():
    chance = random.Random(1)
    kinds = [lambda: chance.randbytes(2000), lambda: PREFACE[:10], lambda: b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
             lambda: TLS_HELLO, lambda: call_bytes()[:60], lambda: b'']
    while True:
        for kind in kinds:
            yield kind()


def flood(path, count, at_once):
    waiting = selectors.DefaultSelector()
    by_age = collections.deque()
    came, opened, most = collections.Counter(), 0, 0
    payload = payloads()
    begin = time.monotonic()
    open_now = set()

    def finish(connection, how):
        if connection in open_now:
            open_now.discard(connection)
            waiting.unregister(connection)
            connection.close()
            came[how] += 1

    while opened < count or open_now:
        while opened < count and len(open_now) < at_once:
            opened += 1
            connection = socket.socket(socket.AF_UNIX)
            connection.setblocking(False)
            try:
                connection.connect(path)
                data = next(payload)
                if data:
                    connection.send(data)
            except OSError as error:
                came[type(error).__name__] += 1
                connection.close()
                if isinstance(error, BlockingIOError):  # the listener's queue is full
                    break
                continue
            open_now.add(connection)
            by_age.append((time.monotonic() + PATIENCE, connection))
            waiting.register(connection, selectors.EVENT_READ)
        most = max(most, len(open_now))
        pause = max(0, by_age[0][0] - time.monotonic()) if by_age else 0.001
        for key, _ in waiting.select(pause):
            try:
                if not key.fileobj.recv(65536):
                    finish(key.fileobj, 'closed by the agent')
            except OSError:
                finish(key.fileobj, 'reset by the agent')
        while by_age and by_age[0][0] <= time.monotonic():
            finish(by_age.popleft()[1], 'closed by us')
    print(json.dumps({'connections': opened, 'seconds': time.monotonic() - begin, 'most_at_once': most, 'came': came}), flush=True)


if __name__ == '__main__':
    flood(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
