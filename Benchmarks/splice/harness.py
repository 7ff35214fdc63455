"""Runs one case: a server and a client process that talk over one connection and report."""

import errno
import random
import re
import select
import socket
import zlib
from pathlib import Path

from lab import METADATA, SERVER, Channel, Role

MB = 1 << 20
# 251 is prime: no shift by a power of two finds the same bytes.
PATTERN = random.Random(1413).randbytes(251 * 4001)
WAIT = 4  # seconds that a role waits for what must happen


def blob(length):
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


class Ends:
    """What a role needs: a channel to the other role, ways to listen and connect."""

    def __init__(self, peer, lab, mode):
        self.peer, self.lab, self.mode = peer, lab, mode
        self.listener = None

    def listen(self, *options):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option in options:
            self.listener.setsockopt(*option)
        self.listener.bind(SERVER)
        self.listener.listen(16)
        self.listener.settimeout(WAIT)
        self.peer.say("listening")

    def accept(self):
        connection = self.listener.accept()[0]
        connection.settimeout(WAIT)
        return connection

    def connect(self, protocol=0):
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
        connection.settimeout(WAIT)
        self.peer.hear()
        connection.connect(METADATA)
        return connection


def read_all(connection, limit=None):
    """What comes until the end, an error, silence, or `limit`; and which of them it was."""
    parts, length = [], 0
    while limit is None or length < limit:
        try:
            part = connection.recv(min(MB, MB if limit is None else limit - length))
        except TimeoutError:
            return b"".join(parts), "silence"
        except OSError as error:
            return b"".join(parts), error_name(error)
        if not part:
            return b"".join(parts), "EOF"
        parts.append(part)
        length += len(part)
    return b"".join(parts), "more"


def error_name(error):
    return errno.errorcode.get(error.errno, str(error))


def judge(got, expected):
    """Whether bytes are what they must be, without printing them."""
    if got == expected:
        return "right"
    if len(got) == len(expected):
        return "WRONG bytes"
    return f"{len(got)} of {len(expected)} bytes"


def fill(connection, limit):
    """Sends until the other side pushes back for half a second. Returns bytes and checksum."""
    connection.setblocking(False)
    chunk, sent, checksum = blob(1 << 16), 0, 0
    while sent < limit:
        try:
            count = connection.send(chunk)
        except BlockingIOError:
            if not select.select([], [connection], [], 0.5)[1]:
                break
            continue
        except OSError as error:
            return sent, checksum, error_name(error)
        checksum = zlib.crc32(chunk[:count], checksum)
        sent += count
        chunk = chunk[count:] + chunk[:count]
    connection.settimeout(WAIT)
    return sent, checksum, None


def tcp_memory():
    """Bytes that the kernel holds for all TCP sockets."""
    words = Path("/proc/net/sockstat").read_text().split("TCP:")[1].split()
    return int(words[words.index("mem") + 1]) * 4096


class Case:
    def __init__(self, title, server, client, modes=("off", "answers", "both"), listen=()):
        self.title, self.server, self.client = title, server, client
        self.modes, self.listen = modes, listen

    def run(self, lab, mode):
        # "late-MODE": made as ordinary TCP, added by the case itself.
        late = mode.removeprefix("late-") if mode.startswith("late-") else None
        lab.tell(f"mode {'off' if late else mode}")
        left, right = socket.socketpair()

        def serve():
            ends = Ends(Channel(left), lab, late or "off")
            ends.listen(*self.listen)
            return self.server(ends)

        def call():
            return self.client(Ends(Channel(right), lab, late))

        roles = [Role(lambda: lab.enter("server"), serve), Role(lambda: lab.enter("pod"), call)]
        left.close()
        right.close()
        words = []
        for role in reversed(roles):
            answer = role.result()
            words.append(answer.get("result", answer.get("error")))
        return "; ".join(word for word in words if word)


def essence(text):
    """What is compared: figures in parentheses may differ."""
    return re.sub(r" ?\([^)]*\)", "", text)
