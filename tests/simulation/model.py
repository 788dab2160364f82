"""What the commands should do, said once more and differently: the model to compare with."""

import re

INTEGER = re.compile(rb"0|-?[1-9][0-9]*")
WRONG = {name: b"-ERR wrong number of arguments for '%s'" % name for name in
         (b"ping", b"echo", b"set", b"get", b"del", b"incr")}  # fmt: skip
NOT_AN_INTEGER = b"-ERR value is not an integer or out of range"


class Model:
    """A dictionary and the six commands on it."""

    def __init__(self):
        self.store = {}

    def reply(self, request):
        """The reply that a correct server gives to this request, both as bytes."""
        if request == b"":
            return b"-ERR empty command"
        words = request.split(b" ", 1)
        command, arguments = words[0].lower(), words[1:]
        if command not in WRONG:
            return b"-ERR unknown command '%s'" % shown(words[0][:64])
        if command == b"ping" and not arguments:
            return b"+PONG"
        if not arguments:
            return WRONG[command]
        if command in (b"ping", b"echo"):
            return b"$" + arguments[0]
        return self.stored(command, arguments[0]) or WRONG[command]

    def stored(self, command, text):
        """The reply to a command on the dictionary; None if its arguments are wrong."""
        key, *value = text.split(b" ", 1)
        if command == b"set":
            return self.set(key, value[0]) if value else None
        if value:
            return None
        if command == b"get":
            return b"$" + self.store[key] if key in self.store else b"_"
        if command == b"del":
            found = key in self.store
            self.store.pop(key, None)
            return b":%d" % found
        return self.incr(key)

    def set(self, key, value):
        self.store[key] = value
        return b"+OK"

    def incr(self, key):
        text = self.store.get(key, b"0")
        # 20 digits are more than any 64-bit integer has.
        if len(text) > 20 or not INTEGER.fullmatch(text):
            return NOT_AN_INTEGER
        if not -(2**63) <= int(text) < 2**63 - 1:
            return NOT_AN_INTEGER
        self.store[key] = str(int(text) + 1).encode()
        return b":" + self.store[key]


def shown(name):
    """Bytes as an error message shows them."""
    return re.sub(rb"[^\x20-\x7e]", lambda byte: b"\\x%02x" % byte.group()[0], name)
