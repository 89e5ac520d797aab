"""Streams of X.509-SVIDs read by hand, so that a test sees each message as it came and when it came.

Run as a program it prints one JSON object a line:

    svid_stream.py follow SOCKET          each message of one stream: when it came, its SVIDs and bundle; at last the status
    svid_stream.py fetches SOCKET SECONDS fetches one after the other for so long (at least one, at most 200 a second: an honest node does not do
                                          more); how many failed, and latencies
    svid_stream.py many SOCKET COUNT      COUNT streams that come back when they are cut off: one line whenever all of them
                                          have a message of a stream that is open, with what happened since the last line
"""

import base64
import calendar
import json
import re
import selectors
import socket
import struct
import sys
import time

from raw_call import ACK, DATA, HEADERS, PING, SETTINGS, WINDOW_UPDATE, call_bytes, frame


def fields(message):
    """Number and bytes of each length-delimited field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(message):
        key = varint()
        assert key & 7 == 2, 'these messages have length-delimited fields only'
        length = varint()
        yield key >> 3, message[at:at + length]
        at += length


def der_items(data):
    """Tag, content and the whole of each element that lies one after the other in `data`."""
    at = 0
    while at < len(data):
        start, tag, length = at, data[at], data[at + 1]
        at += 2
        if length > 0x80:
            size = length - 0x80
            length = int.from_bytes(data[at:at + size], 'big')
            at += size
        yield tag, data[at:at + length], data[start:at + length]
        at += length


def seconds_since_1970(tag, text):
    text = text.decode()
    if tag == 0x17:  # UTCTime: two digits of the year
        text = ('19' if text[0] >= '5' else '20') + text
    return calendar.timegm(time.strptime(text, '%Y%m%d%H%M%SZ'))


def validity(certificate):
    """notBefore and notAfter of a certificate in DER (RFC 5280 §4.1), in seconds since 1970."""
    [(_, whole, _)] = der_items(certificate)
    to_be_signed = next(der_items(whole))[1]
    parts = [content for tag, content, _ in der_items(to_be_signed) if tag != 0xa0]  # serial, algorithm, issuer, validity
    return tuple(seconds_since_1970(tag, content) for tag, content, _ in der_items(parts[3]))


def describe(message):
    """What one X509SVIDResponse holds, as JSON can say it."""
    svids = []
    for number, content in fields(message):
        if number == 1:
            parts = dict(fields(content))
            leaf = next(der_items(parts[2]))[2]
            not_before, not_after = validity(leaf)
            svids.append({'id': parts[1].decode(), 'not_before': not_before, 'not_after': not_after,
                          'chain': base64.b64encode(parts[2]).decode(), 'bundle': base64.b64encode(parts[4]).decode()})
    return svids


class Stream:
    """One connection with one stream. Non-blocking; `on_readable` returns the messages that have come in whole."""

    def __init__(self, path, seconds=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.status, self.closed = None, False
        self._received, self._message = b'', b''
        self.socket.connect(str(path))
        self.socket.sendall(call_bytes())

    def on_readable(self):
        try:
            piece = self.socket.recv(1 << 16)
        except OSError:
            piece = b''
        self.closed = not piece
        self._received += piece
        messages = []
        while len(self._received) >= 9:
            end = 9 + int.from_bytes(self._received[:3], 'big')
            if len(self._received) < end:
                break
            kind, flags, payload = self._received[3], self._received[4], self._received[9:end]
            self._received = self._received[end:]
            try:
                self._take(kind, flags, payload)
            except OSError:
                self.closed = True
            while len(self._message) >= 5 and len(self._message) >= 5 + int.from_bytes(self._message[1:5], 'big'):
                size = 5 + int.from_bytes(self._message[1:5], 'big')
                messages.append(self._message[5:size])
                self._message = self._message[size:]
        return messages

    def _take(self, kind, flags, payload):
        if kind == SETTINGS and not flags & ACK:
            self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == DATA and payload:
            self._message += payload
            self.socket.sendall(b''.join(frame(WINDOW_UPDATE, 0, stream, struct.pack('>I', len(payload))) for stream in (0, 1)))
        elif kind == HEADERS:
            status = re.search(rb'grpc-status.(\d+)', payload, re.DOTALL)
            if status:
                self.status = int(status[1])

    @property
    def over(self):
        return self.closed or self.status is not None

    def close(self):
        self.socket.close()


def emit(value):
    print(json.dumps(value), flush=True)


def follow(path):
    stream = Stream(path, 150)
    while not stream.over:
        for message in stream.on_readable():
            emit({'at': time.time(), 'svids': describe(message)})
    emit({'status': stream.status, 'closed': stream.closed})


def fetches(path, seconds):
    failed, latencies, reasons = 0, [], set()
    end = time.monotonic() + seconds
    while not latencies or time.monotonic() < end:
        begin = time.monotonic()
        try:
            stream = Stream(path)
            messages = []
            while not messages and not stream.over:
                messages = stream.on_readable()
            stream.close()
        except OSError as error:
            messages = []
            reasons.add(str(error))
        if messages:
            latencies.append(time.monotonic() - begin)
            time.sleep(max(0, begin + 0.005 - time.monotonic()))
        else:
            failed += 1
            if failed > 100:
                break
    emit({'failed': failed, 'reasons': sorted(reasons), 'latencies_ms': [round(1000 * one, 3) for one in latencies]})


def percentile(latencies, percent):
    return sorted(latencies)[min(len(latencies) - 1, len(latencies) * percent // 100)]


class Many:
    """Streams that come back, each after a wait of its own that doubles from 50 ms to 1 s, as clients' libraries do."""

    def __init__(self, path, count):
        self.path = path
        self.waiting = selectors.DefaultSelector()
        self.retry = [(0, index, 0.05) for index in range(count)]  # when, which, the wait after it
        self.served = set()
        self.count = count
        self.since = time.monotonic()
        self.forget()

    def forget(self):
        self.refused, self.statuses, self.cut_off, self.first, self.invalid = 0, {}, 0, None, 0

    def run(self):
        while True:
            self.connect()
            pause = max(0, min((when for when, _, _ in self.retry), default=time.monotonic() + 60) - time.monotonic())
            for key, _ in self.waiting.select(pause):
                self.on_readable(key)

    def connect(self):
        now, later = time.monotonic(), []
        for when, index, wait in self.retry:
            if when > now:
                later.append((when, index, wait))
                continue
            try:
                stream = Stream(self.path)
            except OSError:
                self.refused += 1
                later.append((time.monotonic() + wait, index, min(1, 2 * wait)))
                continue
            self.waiting.register(stream.socket, selectors.EVENT_READ, (index, stream, wait))
        self.retry = later

    def on_readable(self, key):
        index, stream, wait = key.data
        for message in stream.on_readable():
            [svid] = describe(message)
            if not svid['not_before'] <= time.time() < svid['not_after']:
                self.invalid += 1
            self.first = self.first or time.monotonic()
            self.served.add(index)
        if stream.over:
            self.waiting.unregister(stream.socket)
            stream.close()
            if index in self.served:
                if not self.cut_off:
                    self.since, self.first = time.monotonic(), None
                self.cut_off += 1
                self.served.discard(index)
                wait = 0.05
            if stream.status is not None:
                self.statuses[stream.status] = self.statuses.get(stream.status, 0) + 1
            self.retry.append((time.monotonic() + wait, index, min(1, 2 * wait)))
        elif len(self.served) == self.count and self.first is not None:
            emit({'streams': self.count, 'cut_off': self.cut_off, 'refused': self.refused, 'statuses': self.statuses,
                  'invalid': self.invalid, 'first_after_s': self.first - self.since, 'all_after_s': time.monotonic() - self.since})
            self.forget()


def main(verb, path, *numbers):
    if verb == 'follow':
        follow(path)
    elif verb == 'fetches':
        fetches(path, float(numbers[0]))
    elif verb == 'many':
        Many(path, int(numbers[0])).run()


if __name__ == '__main__':
    main(*sys.argv[1:])
