"""What Linux tells in /proc about the processes of one session, and their sockets.

A server may be more than one process (a shell around it, a child for each
client); all that it starts share the session in which the suite started it.
"""

import contextlib
import os
import socket
import struct
import sys
import time
from pathlib import Path

PROC = Path("/proc")
ESTABLISHED, LISTEN = "01", "0A"
SHADOW = 1 << 43  # bytes of address space
# Of sock_diag(7) and netlink(7).
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST = 4, 20, 1
DIAG_SIZE, ANY = 72, 0xFFFFFFFF
if hasattr(os, "sysconf"):
    TICKS = os.sysconf("SC_CLK_TCK")
    PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(folder):
    """The fields of a process's or thread's stat after the name: state, ppid, pgrp, session..."""
    return (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()


def processes(session):
    """{pid: fields of its stat} for the living processes of a session."""
    found = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            try:
                fields = _stat(PROC / entry)
            except OSError:
                continue  # it ended while we looked
            if int(fields[3]) == session and fields[0] not in "ZX":
                found[int(entry)] = fields
    return found


def cpu_seconds(session):
    """CPU time used so far by the processes of a session."""
    return sum(int(f[11]) + int(f[12]) for f in processes(session).values()) / TICKS


def cpu_nanoseconds(session):
    """The same, exactly, but without that of threads that have ended."""
    files = [f for pid in processes(session) for f in (PROC / str(pid)).glob("task/*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files)


def memory(session):
    """Resident memory of a session's processes, in bytes."""
    return sum(int(fields[21]) for fields in processes(session).values()) * PAGE


def sanitized(session):
    """Are they built with a sanitizer, which reserves terabytes and keeps what was freed?"""
    return any(int(fields[20]) >= SHADOW for fields in processes(session).values())


def lazy_heap(session):
    """Is it a JVM, which takes more and more memory before it looks what is garbage?"""
    for pid in processes(session):
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        if os.path.basename(words[0]) == b"java" and b"-XX:+AlwaysPreTouch" not in words:
            return True
    return False


def open_sockets(session):
    """The number of sockets that a session's processes have open.

    Not of all descriptors: a runtime may open some for itself at any time, as Go does.
    """
    return len(socket_inodes(session))


def tcp_rows(part):
    """The fields of each line of /proc/net/tcp* that has `part` in it."""
    rows = []
    for name in ("tcp", "tcp6"):
        table = PROC / "net" / name
        if table.exists():
            # There may be tens of thousands of lines: only few are taken apart.
            rows += [line.split() for line in table.read_text().splitlines() if part in line]
    return rows


def port_of(address):
    return int(address.rpartition(":")[2], 16)


def host_of(address):
    """ "0100007F:1F90" is 127.0.0.1: words of the address, each in this machine's order."""
    raw = bytes.fromhex(address.partition(":")[0])
    words = [raw[at : at + 4] for at in range(0, len(raw), 4)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def listening():
    """{inode: (host, port)} of all listening sockets."""
    rows = tcp_rows(f" {LISTEN} ")
    return {row[9]: (host_of(row[1]), port_of(row[1])) for row in rows if row[3] == LISTEN}


def places(session):
    """The (host, port) on which a session's processes listen, in order."""
    mine, known = socket_inodes(session), listening()
    return sorted(known[inode] for inode in mine & set(known))


def not_accepted(port):
    """How many connections wait in the queue of whoever listens on `port`."""
    rows = [row for row in tcp_rows(f":{port:04X} ") if port_of(row[1]) == port]
    # The queues are tx:rx, and that of a listener is for newcomers.
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[3] == LISTEN)


def established(port):
    """How many connections to `port` the kernel takes for alive."""
    rows = tcp_rows(f":{port:04X} ")
    return sum(port_of(row[1]) == port and row[3] == ESTABLISHED for row in rows)


def queues(local, peer):
    """Bytes in the kernel at one end of a connection; both ends are (host, port), IPv4.

    Returns (not yet read by the program, not yet acknowledged by the peer), zeros for a
    connection that has gone.  Asks as `ss` does, sock_diag(7): /proc/net/tcp takes 10 ms.
    """
    head = struct.pack("=IHHII", DIAG_SIZE, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    kind = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ANY)
    addresses = [socket.inet_aton(host) for host, _ in (local, peer)]
    ends = struct.pack("!HH4s12x4s12x", local[1], peer[1], *addresses)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diag:
        diag.sendto(head + kind + ends + struct.pack("=III", 0, ANY, ANY), (0, 0))
        answer = diag.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] != SOCK_DIAG_BY_FAMILY:
        return 0, 0
    return struct.unpack_from("=II", answer, DIAG_SIZE)


def socket_inodes(session):
    """The inodes of the sockets that a session's processes have open."""
    inodes = set()
    for pid in processes(session):
        folder = PROC / str(pid) / "fd"
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # ended, or another user's
        for name in names:
            try:
                link = os.readlink(folder / name)
            except OSError:
                continue  # closed while we looked
            if link.startswith("socket:["):
                inodes.add(link[8:-1])
    return inodes


def workers(session):
    """How many threads the processes of a session have together; a waiting shell is none."""
    found = processes(session)
    parents = {int(fields[1]) for fields in found.values()}
    busy = [fields for pid, fields in found.items() if pid not in parents or len(found) == 1]
    return sum(int(fields[17]) for fields in busy)


def states(session):
    """The states of all threads of a session, as letters of proc(5): R runs, S sleeps..."""
    found = set()
    for pid in processes(session):
        with contextlib.suppress(OSError):  # it ended while we looked
            found |= {_stat(thread)[0] for thread in (PROC / str(pid) / "task").iterdir()}
    return found - set("ZX")


# By processor: the numbers of the system calls in which a server mostly sleeps.
CALLS = {
    "x86_64": {
        "accept": (43, 288),
        "read": (0, 19, 45, 47),
        "write": (1, 20, 44, 46),
        "poll": (7, 23, 232, 270, 271, 281, 441),
    },
    "aarch64": {
        "accept": (202, 242),
        "read": (63, 65, 207, 212),
        "write": (64, 66, 206, 211),
        "poll": (22, 72, 73, 441),
    },
}


def asleep_in(session):
    """What the one thread of a session waits in: a key of CALLS; None if unknown."""
    if not USABLE or workers(session) != 1:
        return None
    for pid, fields in processes(session).items():
        try:
            number = (PROC / str(pid) / "syscall").read_text().split()[0]
        except OSError:  # not allowed to look
            return None
        for name, numbers in CALLS.get(os.uname().machine, {}).items():
            if fields[0] == "S" and number in map(str, numbers):
                return name
    return None


def blocking_sockets(session, port):
    """Of the sockets at `port` that a session has open, those without O_NONBLOCK.

    Returns a set of "listening" and "client".
    """
    kinds = {
        row[9]: "listening" if row[3] == LISTEN else "client"
        for row in tcp_rows(f":{port:04X} ")
        if port_of(row[1]) == port
    }
    found = set()
    for pid in processes(session):
        folder = PROC / str(pid)
        for name in os.listdir(folder / "fd"):
            try:
                inode = os.readlink(folder / "fd" / name)[8:-1]
                info = (folder / "fdinfo" / name).read_text()
            except OSError:
                continue  # closed while we looked
            flags = int(info.partition("flags:")[2].split()[0], 8)
            if inode in kinds and not flags & os.O_NONBLOCK:
                found.add(kinds[inode])
    return found


def _usable():
    """Does the kernel tell of a socket that is known to listen, and of a connection to it?"""
    if not (PROC / "self" / "stat").exists():
        return False
    try:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            place = probe.getsockname()
            with socket.create_connection(place) as client:
                client.send(b"?")
                deadline = time.monotonic() + 1
                while queues(place, client.getsockname()) != (1, 0):
                    if time.monotonic() > deadline:
                        return False
                return place in listening().values()
    except OSError:  # no loopback, or no netlink
        return False


USABLE = _usable()
