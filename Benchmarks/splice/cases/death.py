"""What does one side see when the other dies or closes?"""

import os
import signal
import socket
import time

from harness import Case, blob, error_name, judge, read_all

SENT = 60000


def killed_server(ends, unread):
    connection = ends.accept()
    if unread:
        ends.peer.hear()
    else:
        read_all(connection, 3)
    child = os.fork()
    if child == 0:
        connection.sendall(blob(SENT))
        os.kill(os.getpid(), signal.SIGKILL)
    connection.close()
    ends.listener.close()
    os.waitpid(child, 0)
    ends.peer.say("dead")


def killed_client(ends, unread):
    connection = ends.connect()
    connection.sendall(b"ask")
    if unread:
        ends.peer.say("sent")
    ends.peer.hear()
    time.sleep(0.1)
    got, end = read_all(connection)
    return f"first part {judge(got, blob(SENT))}, then {end}"


def unread_answer_server(ends):
    connection = ends.accept()
    connection.sendall(b"answer")
    ends.peer.hear()
    time.sleep(0.1)
    return f"server sees {read_all(connection)[1]}"


def unread_answer_client(ends):
    connection = ends.connect()
    time.sleep(0.1)
    connection.close()
    ends.peer.say("closed")


def gone_server(ends):
    connection = ends.accept()
    ends.peer.hear()
    time.sleep(0.1)
    seen = []
    for _ in range(3):
        try:
            connection.sendall(b"answer")
            seen.append("sent")
        except OSError as error:
            seen.append(error_name(error))
        time.sleep(0.1)
    return f"server's three sends: {', '.join(seen)}"


def gone_client(ends):
    connection = ends.connect()
    connection.close()
    ends.peer.say("closed")


def after_shutdown_server(ends):
    connection = ends.accept()
    got, end = read_all(connection)
    ends.peer.say("read")
    ends.peer.hear()
    more, _ = read_all(connection)
    return f"server read {got.decode()} to {end}, later {more.decode() or 'nothing'}"


def after_shutdown_client(ends):
    connection = ends.connect()
    connection.sendall(b"ask")
    connection.shutdown(socket.SHUT_WR)
    ends.peer.hear()
    try:
        connection.sendall(b"more")
        text = "sent"
    except OSError as error:
        text = error_name(error)
    ends.peer.say("tried")
    time.sleep(0.2)
    return f"send after SHUT_WR: {text}"


CASES = [
    Case("server killed in the middle of its answer", lambda ends: killed_server(ends, False),
         lambda ends: killed_client(ends, False)),
    Case("server killed with a request unread", lambda ends: killed_server(ends, True),
         lambda ends: killed_client(ends, True)),
    Case("client closes with an answer unread", unread_answer_server, unread_answer_client),
    Case("answer to a client that has closed", gone_server, gone_client),
    Case("client sends after its own SHUT_WR", after_shutdown_server, after_shutdown_client),
]
