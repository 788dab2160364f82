"""buffer.py against a plain bytearray, and the memory that it moves, counted."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from loading import load_milestone

buffer_module = load_milestone(4, "buffer").buffer
Buffer = buffer_module.Buffer

MIB = 1024 * 1024
SMALL = 512  # bytes that an empty buffer may keep


class Counted(Buffer):
    """A Buffer that keeps count of what make_room() moves: the only place that moves data."""

    def __init__(self):
        super().__init__()
        self.moved = 0  # bytes
        self.in_place = 0  # moves within one block
        self.overlaps = 0  # moves within one block onto bytes still to be moved

    def make_room(self, count):
        memory, begin, size = self.memory, self.data_begin, len(self)
        super().make_room(count)
        self.moved += size
        self.in_place += self.memory is memory
        self.overlaps += self.memory is memory and size > begin


class BufferMachine(RuleBasedStateMachine):
    """Any sequence of calls, each done to a Buffer and to a bytearray."""

    def __init__(self):
        super().__init__()
        self.buffer = Counted()
        self.model = bytearray()
        self.appended = 0
        self.longest = 0  # of the data since the buffer was last empty

    @rule(size=st.one_of(st.integers(0, 40), st.integers(0, 5000)), first=st.integers(0, 255))
    def append(self, size, first):
        data = bytes((first + index) % 256 for index in range(size))
        self.buffer.append(data)
        self.model += data
        self.appended += size
        self.longest = max(self.longest, len(self.model))

    @rule(more=st.integers(0, 1))
    def append_to_the_brim(self, more):
        self.append(self.buffer.buffer_end - self.buffer.data_end + more, 0)

    @rule(part=st.floats(0, 1))
    def consume(self, part):
        self.take(int(part * len(self.model)))

    @rule(count=st.integers(0, 40))
    def consume_a_little(self, count):
        self.take(min(count, len(self.model)))

    @rule()
    def consume_all(self):
        self.take(len(self.model))

    def take(self, count):
        memory, content = self.buffer.memory, bytes(self.buffer.memory)
        self.buffer.consume(count)
        del self.model[:count]
        if self.model:
            assert self.buffer.memory is memory and memory == content, "consume() moved data"
        else:
            self.longest = 0

    @rule(more=st.integers(1, 100))
    def consume_too_much(self, more):
        size = len(self.model)
        with pytest.raises(ValueError, match=f"cannot consume {size + more} of {size} bytes"):
            self.buffer.consume(size + more)

    @rule()
    def clear(self):
        self.buffer.clear()
        self.model.clear()
        self.longest = 0

    @invariant()
    def holds_the_same_bytes(self):
        assert self.buffer.view() == self.model
        assert len(self.buffer) == len(self.model)
        assert bool(self.buffer) == bool(self.model)

    @invariant()
    def pointers_are_in_order(self):
        buffer = self.buffer
        assert (
            0
            == buffer.buffer_begin
            <= buffer.data_begin
            <= buffer.data_end
            <= buffer.buffer_end
            == len(buffer.memory)
        )

    @invariant()
    def memory_is_at_most_twice_what_was_needed(self):
        assert self.buffer.buffer_end <= max(SMALL, 2 * self.longest), "also: small when empty"

    @invariant()
    def on_average_a_byte_is_moved_at_most_twice(self):
        assert self.buffer.moved <= 2 * self.appended

    @invariant()
    def no_move_overlaps_itself(self):
        assert self.buffer.overlaps == 0

    @invariant()
    def an_empty_buffer_begins_at_the_front(self):
        assert self.model or self.buffer.data_begin == 0


TestBuffer = BufferMachine.TestCase
TestBuffer.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("backlog", [1, 1000, MIB])
@pytest.mark.parametrize("step", [16, 1000, 65536])
def test_a_window_that_slides_for_long_moves_each_byte_about_once(backlog, step):
    buffer = Counted()
    buffer.append(bytes(backlog))
    data = bytes(step)
    rounds = 4 * (backlog // step + 4)
    for _ in range(rounds):
        buffer.append(data)
        buffer.consume(step)
    assert len(buffer) == backlog
    assert buffer.moved <= 2 * (backlog + rounds * step)
    bound = max(SMALL, 4 * (backlog + step))
    assert buffer.buffer_end <= bound, "the block grows although the data does not"


def test_a_view_is_no_copy_and_does_not_stand_in_the_way():
    buffer = Buffer()
    buffer.append(b"hello")
    view = buffer.view()
    assert view.obj is buffer.memory
    # The server's send() may still hold a view when replies are appended.
    buffer.append(bytes(1000))
    buffer.consume(1005)
    assert view == b"hello"


def test_small_messages_take_no_memory_from_the_system():
    buffer = Buffer()
    memory = buffer.memory
    for size in (1, 100, SMALL, SMALL - 1):
        buffer.append(bytes(size))
        buffer.consume(size)
    assert buffer.memory is memory


def test_a_message_in_front_is_taken_out_of_a_window_that_slides_in_place():
    # What a slow reader makes of the replies: some are taken, some come, some stay.
    buffer = Counted()
    buffer.append(bytes(100))
    for _ in range(1000):
        buffer.append(bytes(20))
        buffer.consume(20)
    assert buffer.in_place >= 40
    assert buffer.buffer_end == SMALL


def test_a_buffer_has_no_dict():
    # Two for each idle client: a dict each would double what they cost.
    assert not hasattr(Buffer(), "__dict__")
