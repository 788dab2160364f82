"""What the end of a server tells of the likeliest reason."""

import re
import signal

from harness import hints

# What the C library says of a heap that was overwritten, before it calls abort().
HEAP = re.compile(r"malloc|free\(\)|realloc|corrupt|double-linked|smashing")


def for_ending(status, lines, rows=(), too_large=0):
    """A hint for a server that has ended, from its wait status, last lines, the rows, and the
    length over the limit that was announced to it, if one was."""
    number = -status
    found = next((line for line in lines if "ERROR: AddressSanitizer" in line), None)
    if found:
        return found.partition("ERROR: ")[2].strip()
    if too_large >= 1 << 31 and number != signal.SIGPIPE:
        return (
            f"{too_large:,} bytes were announced to it: compare a length with the limit before "
            "anything else, and as an unsigned number (as a signed one this is negative)"
        )
    found = hints.for_written(lines)
    if found:
        return found
    if any("oo many open files" in line for line in lines):
        return "that accept() finds no descriptor is no reason to end: wait a moment, and try again"
    if any("concurrent map" in line for line in lines):
        return hints.LOCK
    if status > 0 and 6 in rows:
        return hints.BY_ROW[6]
    if number == signal.SIGABRT:
        if any(HEAP.search(line) for line in lines):
            return ENDINGS[signal.SIGSEGV]
        return f"{ENDINGS[number]}: {lines[-1].strip()}" if lines else ENDINGS[number]
    uncaught = uncaught_in(lines)
    if status > 0 and uncaught and not CONNECTION_LOST.search(uncaught):
        means = next((text for sign, text in MEANS.items() if re.search(sign, uncaught)), "")
        if any("'error' event" in line for line in lines):
            means = " (in Node: on('error'))"
        return f"the server ended, because nobody caught this: {uncaught}{means}"
    return ENDINGS.get(number, ENDED)


def uncaught_in(lines):
    """What a program wrote of an error that nobody caught; or None."""
    # A line of the program itself, with `throw` in it, is only the second best.
    for pattern in (TELLS, NAMES):
        for number, line in enumerate(lines):
            if pattern.search(line):
                reason = lines[number + 1 : number + 2] if PANIC.search(line) else []
                return " ".join([line.strip(), *reason])
    return None


ENDINGS = {
    signal.SIGPIPE: "a write to a connection that the other side had left: ignore SIGPIPE",
    signal.SIGSEGV: "a memory error (with threads: is there a lock?), or a recursion without end: "
    "build with -fsanitize=address and run it again",
    signal.SIGBUS: "a memory error: build with -fsanitize=address and run it again",
    signal.SIGABRT: "an assertion, abort() or an exception that nobody caught",
    signal.SIGKILL: "killed: did it run out of memory?",
}
PANIC = re.compile(r"^thread .* panicked")  # in Rust the next line says why
GO_ENDS = re.compile(r"^(panic|fatal error): ")  # where the goroutines were comes behind it
TELLS = re.compile(rf"^[\w.]*(Exception|Error)\b|{PANIC.pattern}|{GO_ENDS.pattern}")
NAMES = re.compile(r"[\w.](Exception|Error)\b")
# What some of them mostly come from.
MEANS = {
    r"for nil|NoneType|NullPointer": (
        "; is the end of the stream looked for, where a read returns nothing?"
    ),
    r"invalid byte|string invalid|character encodings|Unicode\w+Error": (
        "; a request is bytes, no text"
    ),
}
CONNECTION_LOST = re.compile(r"[Rr]eset|[Pp]ipe|IOException|EOF|[Aa]borted|[Cc]losed")
ENDED = "the server ended: a fault, or the end, of one connection must end that connection only"
