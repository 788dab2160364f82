"""The commands and the dictionary they work on.  This module knows no socket.

A request is a command line, `COMMAND[ SP argument ...]`, as bytes.  A reply
starts with one byte that tells its type, as in RESP, the protocol of Redis
(https://redis.io/docs/latest/develop/reference/protocol-spec/):

    +text    simple string          :n     integer
    $bytes   bulk string            _      no such key
    -ERR text                              error
"""

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
LONGEST_INTEGER = len(str(INT64_MIN))
NAME_SHOWN = 64  # bytes of an unknown command's name that the error repeats

# Shared by all clients; it lives as long as the server.
store = {}


def respond(request: bytes) -> bytes:
    """Run one request.

    request: the command line, as bytes; any bytes are allowed.
    Returns the reply with its type byte, as bytes.  Every mistake in the
    request is answered by a `-ERR` reply; nothing is raised.
    """
    if not request:
        return b"-ERR empty command"
    name, space, argument = request.partition(b" ")
    # Most clients send capitals already: look that up before making a copy.
    command = COMMANDS.get(name) or COMMANDS.get(name.upper())
    if command is None:
        return unknown_command(name)
    # "GET " has one argument, the empty key; "GET" has none.
    return command(argument if space else None)


def unknown_command(name):
    shown = "".join(
        chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}" for byte in name[:NAME_SHOWN]
    )
    return f"-ERR unknown command '{shown}'".encode()


def wrong_arguments(name):
    return f"-ERR wrong number of arguments for '{name}'".encode()


# Each command takes the text after its name (None: not even a space followed)
# and returns the reply.


def ping(message):
    return b"+PONG" if message is None else b"$" + message


def echo(message):
    return wrong_arguments("echo") if message is None else b"$" + message


def set_(argument):
    key, space, value = (argument or b"").partition(b" ")
    if not space:
        return wrong_arguments("set")
    store[key] = value
    return b"+OK"


def get(key):
    if key is None or b" " in key:
        return wrong_arguments("get")
    value = store.get(key)
    return b"_" if value is None else b"$" + value


def del_(key):
    if key is None or b" " in key:
        return wrong_arguments("del")
    return b":0" if store.pop(key, None) is None else b":1"


def incr(key):
    if key is None or b" " in key:
        return wrong_arguments("incr")
    number = parse_integer(store.get(key, b"0"))
    if number is None or number == INT64_MAX:
        return b"-ERR value is not an integer or out of range"
    store[key] = b"%d" % (number + 1)
    return b":" + store[key]


def parse_integer(text):
    """Read the canonical decimal of a signed 64-bit integer, or return None."""
    # int() of a very long text takes seconds, so the length comes first.
    if len(text) > LONGEST_INTEGER:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    # int() also takes " 1", "+1", "01", "-0" and "1_0"; writing the number
    # back shows whether the text was the canonical one.
    if b"%d" % number != text or not INT64_MIN <= number <= INT64_MAX:
        return None
    return number


COMMANDS = {
    b"PING": ping,
    b"ECHO": echo,
    b"SET": set_,
    b"GET": get,
    b"DEL": del_,
    b"INCR": incr,
}
