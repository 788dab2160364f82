"""The dialect `resp`: the same requests and replies in RESP, the protocol of Redis.

A request's payload becomes an array of bulk strings, and a reply's payload what Redis
sends for it.  https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

CRLF = b"\r\n"


def encode_request(payload):
    """A command line as an array: a message or value is the rest of it, a key one word."""
    name, space, rest = payload.partition(b" ")
    if not space:
        words = [name]
    elif name.upper() in (b"SET", b"PING", b"ECHO"):
        words = [name, *rest.split(b" ", 1 if name.upper() == b"SET" else 0)]
    else:
        words = [name, *rest.split(b" ")]
    return b"*%d\r\n" % len(words) + b"".join(map(bulk, words))


def bulk(data):
    return b"$%d\r\n%b\r\n" % (len(data), data)


def encode_reply(payload):
    """What is due for a reply's payload; of an error only its first word is."""
    if payload == b"_":
        return b"$-1\r\n"
    return bulk(payload[1:]) if payload[:1] == b"$" else payload + CRLF


def announce(length):
    """The beginning of a request whose message has that length."""
    return b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % length


def parse_reply(data):
    """(payload, how many bytes it took), or None while a reply is incomplete."""
    line, end, rest = bytes(data).partition(CRLF)
    if not end:
        return None
    size = len(line) + 2
    if line[:1] != b"$":
        return line, size
    if line == b"$-1":
        return b"_", size
    length = int(line[1:])
    return (b"$" + rest[:length], size + length + 2) if len(rest) >= length + 2 else None
