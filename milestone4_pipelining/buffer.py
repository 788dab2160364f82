"""A window that slides over one block of memory."""

NOTHING = b""  # the memory of every empty buffer


class Buffer:
    """Bytes that come in at the back and leave at the front.

        buffer_begin    data_begin         data_end     buffer_end
        |               |                  |            |
        [   consumed    |       data       |    room    ]

    Taking bytes away only moves `data_begin`, however many are behind them.
    Data is moved when the room at the end runs out, and not before.  Memory is
    allocated when bytes arrive and let go when the last of them has left: this
    attribute is the only reference to it, so an empty buffer costs nothing.
    """

    __slots__ = ("memory", "data_begin", "data_end")

    buffer_begin = 0

    def __init__(self):
        self.memory = NOTHING
        self.data_begin = self.data_end = self.buffer_begin

    @property
    def buffer_end(self):
        return len(self.memory)

    def __len__(self):
        return self.data_end - self.data_begin

    def release(self):
        """Forget the data and give its memory back."""
        self.consume(len(self))

    def append(self, data):
        """Add `data`, which is bytes, at the back."""
        if self.data_end == self.buffer_begin:
            # Empty: the window can slide over this very object, without a copy.
            self.memory, self.data_end = data, len(data)
        elif data:
            if len(data) > self.buffer_end - self.data_end:
                self.make_room(len(data))
            end = self.data_end + len(data)
            # Through a view: assigned to a bytearray, `data` would be copied twice.
            memoryview(self.memory)[self.data_end : end] = data
            self.data_end = end

    def make_room(self, count):
        """Move the data to the front, of larger memory if need be, so that
        `count` bytes fit behind it."""
        data = self.view()
        needed = len(data) + count
        # Moving inside memory that is nearly full would have to be done again
        # soon.  With half of it free, as many bytes arrive before the next move
        # as this one moves: on average that costs O(1) for each byte.
        # An object that append() took as it was can't be written to at all.
        if 2 * needed > self.buffer_end or isinstance(self.memory, bytes):
            self.memory = bytearray(2 * needed)
        memoryview(self.memory)[: len(data)] = data
        self.data_begin, self.data_end = self.buffer_begin, len(data)

    def freeze(self):
        """Make the memory `bytes`, and return it.

        What one append() has brought is bytes already; only data that came in
        pieces is copied, once.
        """
        if isinstance(self.memory, bytearray):
            self.memory = bytes(self.view())
            self.data_begin, self.data_end = self.buffer_begin, len(self.memory)
        return self.memory

    def view(self):
        """The data without a copy; good until the next append or consume."""
        return memoryview(self.memory)[self.data_begin : self.data_end]

    def consume(self, count):
        """Take `count` bytes away at the front; ValueError if there are fewer."""
        begin = self.data_begin + count
        if begin > self.data_end:
            raise ValueError(f"cannot consume {count} of {len(self)} bytes")
        if begin < self.data_end:
            self.data_begin = begin
        else:  # empty: give the memory back
            self.memory = NOTHING
            self.data_begin = self.data_end = self.buffer_begin
