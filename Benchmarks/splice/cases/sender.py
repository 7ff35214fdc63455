"""Unusual and hostile senders in the pod."""

import ctypes
import mmap
import os
import select
import socket
import tempfile
import time

from harness import MB, Case, blob, error_name, judge, read_all
from lab import LIBC

SO_ZEROCOPY, MSG_ZEROCOPY, TCP_CORK = 60, 0x4000000, 3
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE = 19, 20, 2
SPLICE_F_GIFT = 8
FIRST, SECOND = b"a" * 65536, b"b" * 65536


def urgent_server(ends):
    ends.peer.hear()
    connection = ends.accept()
    time.sleep(0.1)
    got, _ = read_all(connection, 4)
    more, _ = read_all(connection)
    return f"server read {(got + more).decode()}"


def urgent_client(ends):
    connection = ends.connect()
    connection.sendall(b"ab")
    connection.send(b"!", socket.MSG_OOB)
    connection.sendall(b"cd")
    connection.close()
    ends.peer.say("sent")


def late_reader(ends):
    """Reads only after the sender has changed the memory or the file that it sent from."""
    connection = ends.accept()
    ends.peer.hear()
    got, _ = read_all(connection, len(FIRST))
    ends.peer.say("read")
    if got == FIRST:
        return "server read what was sent"
    return f"server read what was written AFTER the send ({got.count(b'b')} bytes)"


def zerocopy_client(ends):
    connection = ends.connect()
    connection.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    memory = mmap.mmap(-1, len(FIRST))
    memory[:] = FIRST
    sent = connection.send(memory, MSG_ZEROCOPY)
    memory[:] = SECOND
    poller = select.poll()
    poller.register(connection, 0)
    ends.peer.say("sent")
    ends.peer.hear()
    done = bool(poller.poll(1000))
    return f"completion {'arrives' if done else 'NEVER arrives'} ({sent} bytes)"


def from_file(send):
    def client(ends):
        connection = ends.connect()
        with tempfile.TemporaryFile() as file:
            file.write(FIRST)
            file.flush()
            send(connection, file)
            file.seek(0)
            file.write(SECOND)
            file.flush()
            ends.peer.say("sent")
            ends.peer.hear()
    return client


def by_sendfile(connection, file):
    sent = 0
    while sent < len(FIRST):
        sent += os.sendfile(connection.fileno(), file.fileno(), sent, len(FIRST) - sent)


def by_splice(connection, file):
    receiving, sending = os.pipe()
    for offset in range(0, len(FIRST), 32768):
        os.splice(file.fileno(), sending, 32768, offset_src=offset)
        left = 32768
        while left:
            left -= os.splice(receiving, connection.fileno(), left)


def vmsplice_client(ends):
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    connection = ends.connect()
    memory = mmap.mmap(-1, len(FIRST))
    memory[:] = FIRST
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    receiving, sending = os.pipe()
    for offset in range(0, len(FIRST), 32768):
        LIBC.vmsplice(sending, ctypes.byref(Vector(address + offset, 32768)), 1, SPLICE_F_GIFT)
        left = 32768
        while left:
            left -= os.splice(receiving, connection.fileno(), left)
    memory[:] = SECOND
    ends.peer.say("sent")
    ends.peer.hear()


def whole_reader(ends):
    got, end = read_all(ends.accept())
    return f"server read {judge(got, blob(MB))}, {end}"


def vectors_client(ends):
    connection = ends.connect()
    data = blob(MB)
    at = 0
    while at < MB:
        parts = [data[start:start + 64] for start in range(at, min(MB, at + 64 * 1000), 64)]
        at += connection.sendmsg(parts)


def corked_server(ends):
    connection = ends.accept()
    connection.settimeout(0.1)
    early, _ = read_all(connection, 3)
    ends.peer.say("looked")
    connection.settimeout(4)
    late, _ = read_all(connection)
    return f"server read {early.decode() or 'nothing'} early, {(early + late).decode()} in all"


def corked_client(ends):
    connection = ends.connect()
    connection.setsockopt(socket.IPPROTO_TCP, TCP_CORK, 1)
    connection.sendall(b"one")
    ends.peer.hear()
    connection.sendall(b"two")
    connection.setsockopt(socket.IPPROTO_TCP, TCP_CORK, 0)


def repair_server(ends):
    connection = ends.accept()
    connection.settimeout(1)
    got, end = read_all(connection)
    return f"server read {got.decode() or 'nothing'}, {end}"


def repair_client(ends):
    """A privileged pod: what it queues in repair mode is not sent, its close is silent."""
    connection = ends.connect()
    try:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, TCP_SEND_QUEUE)
        connection.sendall(b"queued")
    except OSError as error:
        return f"TCP_REPAIR: {error_name(error)}"
    connection.close()


CASES = [
    Case("MSG_OOB", urgent_server, urgent_client),
    Case("MSG_ZEROCOPY, memory changed after the send", late_reader, zerocopy_client),
    Case("sendfile(2), file changed after the send", late_reader, from_file(by_sendfile)),
    Case("splice(2) into the socket, file changed after the send", late_reader, from_file(by_splice)),
    Case("vmsplice(2) of gifted pages, changed after the send", late_reader, vmsplice_client),
    Case("sendmsg(2) of 1,000 vectors", whole_reader, vectors_client),
    Case("TCP_CORK", corked_server, corked_client),
    Case("TCP_REPAIR: send, then close", repair_server, repair_client),
]
