"""The little of the protobuf wire format that a test needs which sends what no generated code would send."""

import svid_stream


def number(value):
    """A varint."""
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag, value):
    """A string or bytes field."""
    data = value.encode() if isinstance(value, str) else value
    return number(tag << 3 | 2) + number(len(data)) + data


def fields(message):
    """Tag to values, of a message that has only strings, bytes and messages."""
    found = {}
    for tag, value in svid_stream.fields(message):
        found.setdefault(tag, []).append(value)
    return found
