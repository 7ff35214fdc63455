"""Do the ways to read and to wait that programs use still work?"""

import fcntl
import os
import select
import socket
import struct
import termios
import time

from harness import Case, blob, error_name, judge, read_all

TCP_INFO = 11


def one_answer(ends):
    """Sends 1,000 bytes, and keeps the connection open until the client is through."""
    connection = ends.accept()
    connection.sendall(blob(1000))
    ends.peer.say("sent")
    ends.peer.hear()


def two_parts(ends):
    connection = ends.accept()
    connection.sendall(blob(500))
    ends.peer.say("sent")
    time.sleep(0.3)
    connection.sendall(blob(1000)[500:])
    ends.peer.hear()


def with_answer(look):
    """A client that looks at a connection in which an answer has arrived."""
    def client(ends):
        connection = ends.connect()
        ends.peer.hear()
        time.sleep(0.05)
        try:
            return look(connection)
        finally:
            ends.peer.say("done")
    return client


def fionread(connection):
    return f"FIONREAD {struct.unpack('i', fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]}"


def peek(connection):
    first = connection.recv(1000, socket.MSG_PEEK)
    return f"peeked {judge(first, blob(1000))}, then {judge(connection.recv(1000), blob(1000))}"


def wait_all(connection):
    # Python's timeouts make the descriptor non-blocking, which MSG_WAITALL minds.
    connection.settimeout(None)
    got = connection.recv(1000, socket.MSG_WAITALL)
    return f"recv(1000, MSG_WAITALL) of two parts: {judge(got, blob(1000))}"


def single_bytes(connection):
    got = b"".join(connection.recv(1) for _ in range(1000))
    return f"1,000 reads of one byte: {judge(got, blob(1000))}"


def discard(connection):
    thrown = connection.recv_into(bytearray(600), 600, socket.MSG_TRUNC)
    return f"MSG_TRUNC threw {thrown}, then {judge(connection.recv(1000), blob(1000)[600:])}"


def spliced(connection):
    receiving, sending = os.pipe()
    connection.setblocking(False)
    try:
        count = os.splice(connection.fileno(), sending, 1000)
    except OSError as error:
        return f"splice(2) from the socket: {error_name(error)}"
    got = os.read(receiving, 1000) if count else b""
    return f"splice(2) from the socket: {judge(got, blob(1000))}"


def low_water(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 2000)
    ready = bool(select.select([connection], [], [], 0.2)[0])
    return f"readable below SO_RCVLOWAT: {ready}"


def information(connection):
    connection.recv(1000)
    time.sleep(0.2)
    info = connection.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 232)
    received = struct.unpack_from("Q", info, 128)[0]
    segments = struct.unpack_from("I", info, 152)[0]
    return f"tcp_info: {received} bytes received, in {segments} data segments"


def edge_server(ends):
    connection = ends.accept()
    ends.peer.hear()
    connection.sendall(blob(500))
    time.sleep(0.1)
    connection.sendall(blob(1000)[500:])
    time.sleep(0.1)
    connection.close()


def edge_client(ends):
    """Edge-triggered: an event is reported once, so one that is lost is never made up for."""
    connection = ends.connect()
    connection.setblocking(False)
    poller = select.epoll()
    poller.register(connection, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
    ends.peer.say("waiting")
    seen, got = [], b""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for _, events in poller.poll(0.5):
            seen.append("IN+RDHUP" if events & select.EPOLLRDHUP else "IN")
            part, end = read_all(connection)
            got += part
            if end == "EOF":
                return f"epoll edges {', '.join(seen)}: {judge(got, blob(1000))}, EOF"
    return f"epoll edges {', '.join(seen)}: {judge(got, blob(1000))}, no end"


CASES = [
    Case("ioctl(FIONREAD), Java's available()", one_answer, with_answer(fionread)),
    Case("MSG_PEEK", one_answer, with_answer(peek)),
    Case("MSG_WAITALL", two_parts, with_answer(wait_all)),
    Case("one byte at a time", one_answer, with_answer(single_bytes)),
    Case("MSG_TRUNC", one_answer, with_answer(discard)),
    Case("splice(2) from the socket", one_answer, with_answer(spliced)),
    Case("SO_RCVLOWAT", one_answer, with_answer(low_water)),
    Case("tcp_info", one_answer, with_answer(information)),
    Case("epoll, edge-triggered, with the end", edge_server, edge_client),
]
