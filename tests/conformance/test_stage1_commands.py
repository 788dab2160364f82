"""What the commands answer: every type of reply, every error."""

import pytest
from harness import Message, commands_only, frames_only, numbers, ours_only

pytestmark = commands_only

NOT_AN_INTEGER = b"-ERR value is not an integer or out of range"
INT64_MAX = 2**63 - 1


def wrong_arguments(name):
    return b"-ERR wrong number of arguments for '%s'" % name


def unknown(name):
    return b"-ERR unknown command '%s'" % name


@pytest.fixture
def key():
    """A key that no other test uses."""
    return b"key-%d" % next(numbers)


@pytest.fixture
def talk(target, connect):
    """talk(request, reply, request, reply, ...) on one connection."""
    client = connect()

    def talk_on(*lines):
        for request, reply in zip(lines[::2], lines[1::2]):
            client.command(request, reply)

    return talk_on


def test_ping(target, talk):
    """PING answers +PONG, and PING with a message the message."""
    talk(b"PING", b"+PONG", b"PING hello", b"$hello", b"PING two  words", b"$two  words")


def test_echo(target, talk):
    """ECHO answers its message, as a bulk string."""
    talk(b"ECHO hello", b"$hello", b"ECHO PING", b"$PING", b"ECHO $+:_-", b"$$+:_-")


def test_set_replaces(target, talk, key):
    """SET puts a new value in the place of the old one."""
    talk(b"SET " + key + b" a longer value", b"+OK", b"SET " + key + b" short", b"+OK")
    talk(b"GET " + key, b"$short")


def test_get_of_a_missing_key(target, talk, key):
    """GET of a key that is not there answers _, which is not an empty value."""
    talk(b"GET " + key, b"_", b"SET " + key + b" ", b"+OK", b"GET " + key, b"$")


def test_del(target, talk, key):
    """DEL answers :1 if the key was there and :0 if not, and the key is gone."""
    talk(b"DEL " + key, b":0", b"SET " + key + b" x", b"+OK", b"DEL " + key, b":1")
    talk(b"GET " + key, b"_", b"DEL " + key, b":0")


def test_many_keys(target, talk, key):
    """Every key keeps its own value."""
    for number in range(300):
        talk(b"SET %s-%d value-%d" % (key, number, number), b"+OK")
    for number in reversed(range(300)):
        talk(b"GET %s-%d" % (key, number), b"$value-%d" % number)


# What a dictionary may have by itself, in one language or another.
WORDS = ["constructor", "__proto__", "toString", "keys", "__class__", "length", "null", "0", "-1"]


@pytest.mark.parametrize("word", WORDS)
def test_any_word_is_a_key(target, talk, word):
    """Any word can be a key, and is none before it is SET."""
    key = word.encode()
    talk(b"GET " + key, b"_", b"SET " + key + b" mine", b"+OK", b"GET " + key, b"$mine")
    talk(b"DEL " + key, b":1", b"GET " + key, b"_")


def test_incr_counts(target, talk, key):
    """INCR adds one and answers the new value; a missing key counts as 0."""
    for number in range(1, 13):
        talk(b"INCR " + key, b":%d" % number)
    talk(b"GET " + key, b"$12")


def test_commands_in_any_case(target, talk, key):
    """A command's name may be written in capitals, small letters or both."""
    talk(b"ping", b"+PONG", b"PiNg", b"+PONG", b"eChO Hello", b"$Hello")
    talk(b"set " + key + b" Value", b"+OK", b"gEt " + key, b"$Value")
    talk(b"Set " + key + b" 5", b"+OK", b"iNCR " + key, b":6", b"dEL " + key, b":1")


def test_keys_have_a_case(target, talk, key):
    """Keys that differ in case are different keys."""
    talk(b"SET " + key + b" small", b"+OK", b"SET " + key.upper() + b" CAPITALS", b"+OK")
    talk(b"GET " + key, b"$small", b"GET " + key.upper(), b"$CAPITALS")


def test_del_of_an_empty_value(target, talk, key):
    """A key with an empty value is there: DEL answers :1."""
    talk(b"SET " + key + b" ", b"+OK", b"DEL " + key, b":1")


def test_value_takes_the_rest(target, talk, key):
    """A value is the rest of the request, with all its spaces."""
    for value in (b"two words", b" in front", b"behind ", b"  ", b"a  b   c"):
        talk(b"SET " + key + b" " + value, b"+OK", b"GET " + key, b"$" + value)


def test_message_takes_the_rest(target, talk):
    """A message is the rest of the request, with all its spaces."""
    for message in (b"two words", b" in front", b"behind ", b"  "):
        talk(b"ECHO " + message, b"$" + message, b"PING " + message, b"$" + message)


def test_trailing_space_is_an_empty_argument(target, talk):
    """A space at the end makes an empty argument, which is legal."""
    talk(b"PING ", b"$", b"ECHO ", b"$")


def test_empty_key(target, talk):
    """The empty key is a key like others."""
    talk(b"SET  of nobody", b"+OK", b"GET ", b"$of nobody", b"DEL ", b":1", b"GET ", b"_")
    talk(b"INCR ", b":1", b"SET  ", b"+OK", b"GET ", b"$", b"DEL ", b":1", b"DEL ", b":0")


def test_line_ends_are_bytes_like_others(target, talk, key):
    """A line end belongs to the value or the message; nothing is stripped."""
    for value in (b"line\n", b"line\r\n", b"\n", b"a\nb\r\n\tc\t"):
        talk(b"SET " + key + b" " + value, b"+OK", b"GET " + key, b"$" + value)
        talk(b"ECHO " + value, b"$" + value)


def test_binary_value(target, talk, key):
    """A value may hold any bytes: NULs, and what is no UTF-8."""
    for value in (bytes(range(256)), b"\0", b"a\0b\0", b"\xff\xfe", b"\xc3\x28", b"\xe2\x82"):
        talk(b"SET " + key + b" " + value, b"+OK", b"GET " + key, b"$" + value)
        talk(b"ECHO " + value, b"$" + value, b"PING " + value, b"$" + value)


def test_binary_key(target, talk, key):
    """A key may hold any bytes but a space; keys that differ behind a NUL are different."""
    keys = [key + tail for tail in (b"", b"\0", b"\0a", b"\0b", b"\n", b"\xff", b"\xff\xfe")]
    for number, name in enumerate(keys):
        talk(b"SET " + name + b" value-%d" % number, b"+OK")
    for number, name in enumerate(keys):
        talk(b"GET " + name, b"$value-%d" % number)
    for name in keys:
        talk(b"DEL " + name, b":1")


@pytest.mark.parametrize("length", [32, 64, 128, 256, 512])
def test_long_keys(target, talk, key, length):
    """Keys that differ in their last byte alone are different, however long they are."""
    for size in (length - 1, length, length + 1):
        front = key.ljust(size - 1, b"-")
        talk(b"SET " + front + b"1 one", b"+OK", b"SET " + front + b"2 two", b"+OK")
        talk(b"GET " + front + b"1", b"$one", b"GET " + front + b"2", b"$two")
        talk(b"GET " + front, b"_", b"DEL " + front + b"2", b":1", b"GET " + front + b"1", b"$one")


@pytest.mark.parametrize("value", [0, 9, 99, -1, -2, -10, -100, 2**31 - 1, 2**32 - 1, -(2**31) - 1])
def test_incr_of_a_number(target, talk, key, value):
    """INCR of a number that SET stored answers that number and one, and stores it."""
    talk(b"SET %s %d" % (key, value), b"+OK", b"INCR " + key, b":%d" % (value + 1))
    talk(b"GET " + key, b"$%d" % (value + 1), b"INCR " + key, b":%d" % (value + 2))


def test_incr_up_to_the_limit(target, talk, key):
    """INCR reaches 2**63 - 1 and refuses to go further; the value stays."""
    talk(b"SET %s %d" % (key, INT64_MAX - 1), b"+OK", b"INCR " + key, b":%d" % INT64_MAX)
    talk(b"INCR " + key, NOT_AN_INTEGER, b"GET " + key, b"$%d" % INT64_MAX)


def test_incr_from_the_lower_limit(target, talk, key):
    """INCR works from -2**63 on."""
    talk(b"SET %s %d" % (key, -INT64_MAX - 1), b"+OK", b"INCR " + key, b":%d" % -INT64_MAX)


NO_INTEGERS = {
    "word": b"ten",
    "empty": b"",
    "space-before": b" 1",
    "space-after": b"1 ",
    "line-end": b"1\n",
    "nul-after": b"1\0",
    "plus": b"+1",
    "minus-zero": b"-0",
    "leading-zero": b"01",
    "negative-leading-zero": b"-01",
    "two-zeros": b"00",
    "underscore": b"1_0",
    "point": b"1.0",
    "exponent": b"1e3",
    "hexadecimal": b"0x10",
    "minus": b"-",
    "two-minuses": b"--1",
    "number-and-word": b"12monkeys",
    "other-digits": "\u0661\u0662".encode(),
    "too-large": b"9223372036854775808",
    "too-small": b"-9223372036854775809",
    "wraps-to-zero": b"18446744073709551616",
    "hundred-digits": b"9" * 100,
    "many-zeros": b"0" * 300 + b"1",
}


@pytest.mark.parametrize("value", NO_INTEGERS.values(), ids=NO_INTEGERS.keys())
def test_incr_of_what_is_no_integer(target, talk, key, value):
    """INCR refuses a value that is not a 64-bit integer in its plain form, and leaves it."""
    talk(b"SET " + key + b" " + value, b"+OK", b"INCR " + key, NOT_AN_INTEGER)
    talk(b"GET " + key, b"$" + value)


def test_incr_of_a_very_long_value(target, talk, key):
    """INCR refuses a value as long as a value can be, and does not take long to see it."""
    size = target.max_payload if target.framed else 4000
    value = b"1" * (size - len(b"SET  ") - len(key))
    talk(b"SET " + key + b" " + value, b"+OK", b"INCR " + key, NOT_AN_INTEGER)


def test_wrong_number_of_arguments(target, talk, key):
    """A missing argument is an error that names the command in small letters."""
    talk(b"ECHO", wrong_arguments(b"echo"), b"GET", wrong_arguments(b"get"))
    talk(b"DEL", wrong_arguments(b"del"), b"INCR", wrong_arguments(b"incr"))
    talk(b"SET", wrong_arguments(b"set"), b"SET ", wrong_arguments(b"set"))
    talk(b"SET " + key, wrong_arguments(b"set"), b"GET " + key, b"_")
    talk(b"sEt", wrong_arguments(b"set"), b"Get", wrong_arguments(b"get"))


# Redis deletes several keys at once.
@pytest.mark.parametrize("name", ["GET", pytest.param("DEL", marks=frames_only), "INCR"])
def test_space_after_a_key(target, talk, key, name):
    """A key holds no space: a further one is a wrong number of arguments."""
    command, error = name.encode() + b" ", wrong_arguments(name.lower().encode())
    for argument in (key + b" ", key + b" x", b" " + key, b" ", key + b"  "):
        talk(command + argument, error)
    talk(b"GET " + key, b"_")


def test_errors_leave_the_connection_open(target, talk):
    """After an error reply the same connection goes on."""
    for number in range(10):
        name = b"NONSENSE-%d" % number
        talk(name, unknown(name), b"GET", wrong_arguments(b"get"))
        talk(b"ECHO %d" % number, b"$%d" % number)


def test_unknown_command(target, talk):
    """An unknown command is named in the error as it was sent."""
    talk(b"FLY", unknown(b"FLY"), b"Fly me to the moon", unknown(b"Fly"))
    talk(b"EXIT", unknown(b"EXIT"), b"_", unknown(b"_"), b"+PONG", unknown(b"+PONG"))


def test_unknown_command_like_a_known_one(target, talk):
    """Only the whole name is a command: neither a part of it nor more."""
    for name in (b"PIN", b"PINGS", b"GETS", b"SE", b"P", b"ECHOO", b"INCRBY", b"D"):
        talk(name, unknown(name), name + b" x", unknown(name))


def test_unknown_command_with_punctuation(target, talk):
    """Quotes, backslashes and percent signs in an unknown name are shown as they are."""
    for name in (b"it's", b'"', b"\\n", b"%s%n", b"{}", b"~!"):
        talk(name, unknown(name))


def test_unknown_command_with_bytes_that_do_not_print(target, talk):
    r"""Bytes outside 0x20-0x7e in an unknown name are shown as \xNN."""
    talk(b"A\x00\x01B", unknown(rb"A\x00\x01B"), b"\x80\x99", unknown(rb"\x80\x99"))
    talk(b"PING\t", unknown(rb"PING\x09"), b"\x19\x10", unknown(rb"\x19\x10"))
    talk(b"PING\0", unknown(rb"PING\x00"), b"PING\0x", unknown(rb"PING\x00x"))


@ours_only
def test_escapes_use_small_letters(target, talk):
    r"""The digits of \xNN are small letters."""
    talk(b"PING\r\n", unknown(rb"PING\x0d\x0a"), b"\x1f\x7e\x7f\xff", unknown(rb"\x1f~\x7f\xff"))


@pytest.mark.parametrize("length", [63, 64, 65, 128, 200])
def test_long_unknown_command_is_cut(target, talk, length):
    """Of an unknown name the error shows the first 64 bytes."""
    name = b"".join(b"%02d-" % number for number in range(100))[:length]
    talk(name, unknown(name[:64]), name + b" argument", unknown(name[:64]))


def test_long_unknown_command_is_cut_before_it_is_escaped(target, talk):
    r"""The 64 bytes are counted before they become \xNN."""
    talk(b"\x01" * 70, unknown(rb"\x01" * 64))


def test_space_first_is_an_empty_name(target, talk):
    """A request that starts with a space has the empty name, which is unknown."""
    talk(b" ", unknown(b""), b" PING", unknown(b""), b"  ", unknown(b""))


def test_two_clients_share_the_keys(target, connect, key):
    """What a client counts the next one goes on counting."""
    for number in range(1, 6):
        client = connect()
        client.ask(Message(b"INCR " + key, b":%d" % number))
        client.close()
