"""A socket in memory for the handlers of a connection."""


class Pieces:
    """A socket on which `data` arrives in pieces of `size` bytes; it takes all that is sent."""

    def __init__(self, data, size):
        self.arriving = [data[start : start + size] for start in range(0, len(data), size)]
        self.sent = bytearray()

    def recv(self, count):
        return self.arriving.pop(0)

    def send(self, data):
        self.sent += data
        return len(data)
