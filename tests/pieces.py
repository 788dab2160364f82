"""A socket in memory for the handlers of a connection."""


class Pieces:
    """A socket on which `data` arrives in pieces of `size` bytes.

    takes: how many bytes each send() takes, 0 for BlockingIOError; after these,
    all that it is given.
    """

    def __init__(self, data, size, takes=()):
        self.arriving = [data[start : start + size] for start in range(0, len(data), size)]
        self.takes = list(takes)
        self.sent = bytearray()

    def recv(self, count):
        return self.arriving.pop(0)

    def send(self, data):
        count = self.takes.pop(0) if self.takes else len(data)
        if not count:
            raise BlockingIOError
        self.sent += data[:count]
        return min(count, len(data))
