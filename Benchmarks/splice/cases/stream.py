"""Does every byte arrive, once and in order?"""

import ctypes
import os
import random
import socket
import threading
import time

from harness import MB, Case, blob, error_name, judge, read_all
from lab import LIBC, METADATA

TCP_DEFER_ACCEPT = 9


def half_close_server(ends):
    connection = ends.accept()
    asked, end = read_all(connection)
    connection.sendall(blob(MB))
    connection.close()
    return f"server read the request ({len(asked)} bytes) to {end}"


def half_close_client(ends):
    connection = ends.connect()
    connection.sendall(b"ask")
    connection.shutdown(socket.SHUT_WR)
    got, end = read_all(connection)
    return f"answer {judge(got, blob(MB))}, then {end}"


def closed_before_read_server(ends):
    connection = ends.accept()
    read_all(connection)
    connection.sendall(blob(30000))
    connection.close()
    ends.peer.say("closed")


def closed_before_read_client(ends):
    connection = ends.connect()
    connection.sendall(b"ask")
    connection.shutdown(socket.SHUT_WR)
    ends.peer.hear()
    # TCP is through with this connection long before the reader is.
    time.sleep(0.3)
    got, end = read_all(connection)
    return f"answer {judge(got, blob(30000))}, then {end}"


def both_ways(connection, length):
    """Sends and receives `length` bytes at the same time."""
    sender = threading.Thread(target=connection.sendall, args=(blob(length),))
    sender.start()
    got, _ = read_all(connection, length)
    sender.join()
    return judge(got, blob(length))


def large_server(ends):
    return f"request {both_ways(ends.accept(), 10 * MB)}"


def large_client(ends):
    return f"answer {both_ways(ends.connect(), 10 * MB)}"


def pieces(data, seed):
    source, at = random.Random(seed), 0
    while at < len(data):
        size = source.choice((1, 2, 7, 100, 1000, 4095, 4096, 4097, 20000))
        yield data[at:at + size]
        at += size


def pipelining_server(ends):
    connection = ends.accept()
    got, _ = read_all(connection, 2 * MB)
    for piece in pieces(blob(2 * MB), 2):
        connection.sendall(piece)
    return f"requests {judge(got, blob(2 * MB))}"


def pipelining_client(ends):
    connection = ends.connect()
    for piece in pieces(blob(2 * MB), 1):
        connection.sendall(piece)
    got, _ = read_all(connection, 2 * MB)
    return f"answers {judge(got, blob(2 * MB))}"


def early_server(ends):
    ends.peer.hear()
    connection = ends.accept()
    return f"server read {read_all(connection, 6)[0].decode()}"


def early_client(ends):
    """With TCP_DEFER_ACCEPT the server's socket exists only when the first bytes came by TCP."""
    connection = ends.connect()
    connection.sendall(b"one")
    time.sleep(0.1)
    connection.sendall(b"two")
    ends.peer.say("sent")
    time.sleep(0.2)


def before_accept_server(ends):
    ends.peer.hear()
    connection = ends.accept()
    return f"server read {judge(read_all(connection)[0], blob(30000))}"


def before_accept_client(ends):
    connection = ends.connect()
    connection.sendall(blob(30000))
    connection.close()
    ends.peer.say("sent")


def reconnect_server(ends):
    first, _ = read_all(ends.accept())
    second = ends.accept()
    asked, _ = read_all(second, 3)
    second.sendall(b"answer")
    return f"first {first.decode()}, second {asked.decode()}"


def reconnect_client(ends):
    """connect(AF_UNSPEC) takes a socket out of its connection; the same socket connects again."""
    connection = ends.connect()
    connection.sendall(b"one")
    time.sleep(0.1)
    if LIBC.connect(connection.fileno(), ctypes.create_string_buffer(16), 16):
        return "disconnect failed"
    try:
        connection.connect(METADATA)
        connection.sendall(b"two")
    except OSError as error:
        return error_name(error)
    return f"answer {read_all(connection, 6)[0].decode()}"


def late_server(ends):
    """The pair enters the maps by descriptor, with bytes of both directions in the queues."""
    connection = ends.accept()
    client_pid, client_fd = ends.peer.hear()
    connection.sendall(b"one")
    time.sleep(0.1)
    if ends.mode != "off":
        ends.lab.tell(f"add {ends.mode} {client_pid} {client_fd} {os.getpid()} {connection.fileno()}")
    connection.sendall(b"two")
    ends.peer.say("added")
    ends.peer.hear()
    return f"server read {read_all(connection, 6)[0].decode()}"


def late_client(ends):
    connection = ends.connect()
    connection.sendall(b"one")
    ends.peer.say([os.getpid(), connection.fileno()])
    ends.peer.hear()
    connection.sendall(b"two")
    ends.peer.say("sent")
    return f"client read {read_all(connection, 6)[0].decode()}"


CASES = [
    Case("half close, then read a 1 MB answer", half_close_server, half_close_client),
    Case("half close, both ends closed before the answer is read", closed_before_read_server,
         closed_before_read_client),
    Case("10 MB both ways at the same time", large_server, large_client),
    Case("2 MB each way in pieces of 1 to 20,000 bytes", pipelining_server, pipelining_client),
    Case("request sent and socket closed before accept()", before_accept_server, before_accept_client),
    Case("first bytes arrive before the server is in the map", early_server, early_client,
         modes=("off", "answers", "both", "naive"),
         listen=((socket.IPPROTO_TCP, TCP_DEFER_ACCEPT, 2),)),
    Case("bytes are queued when both ends enter the maps", late_server, late_client,
         modes=("off", "late-answers", "late-both")),
    Case("disconnect with connect(AF_UNSPEC), connect again", reconnect_server, reconnect_client),
]
