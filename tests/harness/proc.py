"""What Linux tells in /proc about the processes of one session, and their sockets.

A server may be more than one process (a shell around it, a child for each
client); all that it starts share the session in which the suite started it.
"""

import os
import socket
from pathlib import Path

PROC = Path("/proc")
ESTABLISHED, LISTEN = "01", "0A"
if hasattr(os, "sysconf"):
    TICKS = os.sysconf("SC_CLK_TCK")
    PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid):
    """The fields of /proc/PID/stat after the name: state, ppid, pgrp, session..."""
    return (PROC / pid / "stat").read_text(errors="replace").rpartition(")")[2].split()


def processes(session):
    """{pid: fields of its stat} for the living processes of a session."""
    found = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            try:
                fields = _stat(entry)
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


def open_files(session):
    """The number of file descriptors that a session's processes have open."""
    return sum(len(os.listdir(PROC / str(pid) / "fd")) for pid in processes(session))


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


def listening():
    """{port: set of inodes} of all listening sockets."""
    ports = {}
    for row in tcp_rows(f" {LISTEN} "):
        if row[3] == LISTEN:
            ports.setdefault(port_of(row[1]), set()).add(row[9])
    return ports


def established(port):
    """How many connections to `port` the kernel takes for alive."""
    rows = tcp_rows(f":{port:04X} ")
    return sum(port_of(row[1]) == port and row[3] == ESTABLISHED for row in rows)


def queued(port, peer_port):
    """Bytes in the kernel for the connection from `port` to `peer_port`.

    Returns (unacknowledged or unsent, not yet read by the program).
    """
    for row in tcp_rows(f":{port:04X} "):
        if port_of(row[1]) == port and port_of(row[2]) == peer_port:
            unsent, _, unread = row[4].partition(":")
            return int(unsent, 16), int(unread, 16)
    return 0, 0


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
    """Does the kernel's table show a socket that is known to listen?"""
    if not (PROC / "self" / "stat").exists():
        return False
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        probe.listen()
        return probe.getsockname()[1] in listening()


USABLE = _usable()
