"""Who stops a sender whose reader does not read?"""

import time
import zlib

from harness import MB, WAIT, Case, fill, tcp_memory

LIMIT = 256 * MB


def bounded(sent, before, held, error):
    verdict = "NOT bounded" if sent >= LIMIT else "bounded"
    return (f"{verdict}{', ' + error if error else ''} "
            f"(took {sent / MB:.1f} MB, kernel holds {(held - before) / MB:.1f} MB)")


def send_much(connection, ends):
    before = tcp_memory()
    sent, checksum, error = fill(connection, LIMIT)
    text = bounded(sent, before, tcp_memory(), error)
    ends.peer.say([sent, checksum])
    return text


def read_late(connection, ends):
    """The other side has been pushed back, or not. What it sent must come, and memory go."""
    sent, checksum = ends.peer.hear()
    got = 0
    connection.settimeout(WAIT)
    while sent:
        part = connection.recv(min(MB, sent))
        if not part:
            return "end before the last byte"
        got = zlib.crc32(part, got)
        sent -= len(part)
    return "all of it read later" if got == checksum else "WRONG bytes read later"


def answer_server(ends):
    return send_much(ends.accept(), ends)


def answer_client(ends):
    return read_late(ends.connect(), ends)


def request_server(ends):
    return read_late(ends.accept(), ends)


def request_client(ends):
    return send_much(ends.connect(), ends)


def unaccepted_server(ends):
    ends.peer.hear()


def unaccepted_client(ends):
    return send_much(ends.connect(), ends)


def freed_server(ends):
    before = tcp_memory()
    connection = ends.accept()
    fill(connection, LIMIT)
    ends.peer.say("sent")
    ends.peer.hear()
    connection.close()
    deadline = time.monotonic() + WAIT
    # The figure is the whole machine's: leave room for other connections.
    while tcp_memory() - before > LIMIT / 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    return "memory freed" if tcp_memory() - before <= LIMIT / 8 else "memory NOT freed"


def freed_client(ends):
    connection = ends.connect()
    ends.peer.hear()
    connection.close()
    ends.peer.say("closed")


CASES = [
    Case("the client does not read the answer", answer_server, answer_client),
    Case("the server does not read the request", request_server, request_client),
    Case("the server does not even accept", unaccepted_server, unaccepted_client),
    Case("the client closes without reading 256 MB", freed_server, freed_client),
]
