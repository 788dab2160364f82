"""A window that slides over one block of memory."""

SMALL = 512  # bytes of memory that an empty buffer keeps


class Buffer:
    """Bytes that come in at the back and leave at the front.

        buffer_begin    data_begin         data_end     buffer_end
        |               |                  |            |
        [   consumed    |       data       |    room    ]

    In C these would be pointers; here they are positions in `memory`.  Taking
    bytes away only moves `data_begin`, however many are behind them.  Data is
    moved when the room at the end runs out, and not before.
    """

    __slots__ = ("memory", "buffer_begin", "data_begin", "data_end", "buffer_end")

    def __init__(self) -> None:
        self.allocate(SMALL)
        self.data_begin = self.data_end = self.buffer_begin

    def allocate(self, size: int) -> None:
        """Take new memory of `size` bytes; the old one is freed when nothing refers to it."""
        self.memory = bytearray(size)
        self.buffer_begin, self.buffer_end = 0, size

    def __len__(self) -> int:
        return self.data_end - self.data_begin

    def append(self, data: bytes) -> None:
        """Add `data` at the back."""
        if self.data_end + len(data) > self.buffer_end:
            self.make_room(len(data))
        end = self.data_end + len(data)
        self.memory[self.data_end : end] = data
        self.data_end = end

    def make_room(self, count: int) -> None:
        """Move the data to the front, in larger memory if need be, so that
        `count` bytes fit behind it."""
        data = self.view()
        needed = len(data) + count
        # Moving inside memory that is nearly full would have to be done again
        # soon.  With half of it free, as many bytes arrive before the next move
        # as this one moves: on average that costs O(1) for each byte.
        if 2 * needed > self.buffer_end:
            self.allocate(2 * needed)
        self.data_begin, self.data_end = self.buffer_begin, self.buffer_begin + len(data)
        self.memory[self.data_begin : self.data_end] = data

    def view(self) -> memoryview:
        """The data without a copy; good until the next append or consume."""
        return memoryview(self.memory)[self.data_begin : self.data_end]

    def consume(self, count: int) -> None:
        """Take `count` bytes away at the front; ValueError if there are fewer."""
        begin = self.data_begin + count
        if begin < self.data_end:
            self.data_begin = begin
        elif begin == self.data_end:
            self.clear()
        else:
            raise ValueError(f"cannot consume {count} of {len(self)} bytes")

    def clear(self) -> None:
        """Forget the data, and give back the memory that a large one needed."""
        if self.buffer_end > SMALL:
            self.allocate(SMALL)
        self.data_begin = self.data_end = self.buffer_begin
