"""The little of the protobuf wire format that a test needs which sends what no generated code would send."""


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


def _read_number(message, at):
    value, shift = 0, 0
    while True:
        byte = message[at]
        value, shift, at = value | (byte & 0x7f) << shift, shift + 7, at + 1
        if not byte & 0x80:
            return value, at


def fields(message):
    """Tag to values, of a message that has only strings, bytes and messages."""
    found, at = {}, 0
    while at < len(message):
        key, at = _read_number(message, at)
        assert key & 7 == 2, f'wire type {key & 7}'
        length, at = _read_number(message, at)
        found.setdefault(key >> 3, []).append(message[at:at + length])
        at += length
    return found
