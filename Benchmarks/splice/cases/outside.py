"""What everything around the two sockets sees or decides: interfaces, timers, other users of the hooks."""

import ctypes
import os
import socket
import struct
import subprocess
import time
from pathlib import Path

from harness import Case, error_name, read_all
from lab import HOST_IP, LIBC

TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_ULP = 4, 5, 31
IPPROTO_MPTCP = 262
SYS_BPF, BPF_MAP_CREATE, BPF_MAP_TYPE_SOCKHASH = 321, 0, 18


def echo(ends):
    connection = ends.accept()
    while True:
        got, end = read_all(connection, 3)
        if end != "more":
            return None
        connection.sendall(got)


def ask(connection):
    try:
        connection.sendall(b"ask")
    except OSError as error:
        return error_name(error)
    got, end = read_all(connection, 3)
    return got.decode() or end


def unplugged_client(ends):
    """A pod that is cut off: its interface goes down while a connection is open."""
    connection = ends.connect()
    ask(connection)
    link = ends.lab.pod_link
    connection.settimeout(0.5)
    subprocess.run(["ip", "link", "set", link, "down"], check=True)
    answer = ask(connection)
    subprocess.run(["ip", "link", "set", link, "up"], check=True)
    subprocess.run(["ip", "route", "add", "default", "via", HOST_IP], check=True)
    return f"answered while the pod's interface is down: {answer == 'ask'}"


def guarded_server(ends, switch):
    """After a first request, packets with bytes from the pod are dropped."""
    connection = ends.accept()
    connection.sendall(read_all(connection, 3)[0])
    ends.peer.hear()
    switch(ends, True)
    ends.peer.say("guarded")
    try:
        got, end = read_all(connection, 3)
        if end == "more":
            connection.sendall(got)
        ends.peer.hear()
    finally:
        switch(ends, False)


def guarded_client(ends):
    connection = ends.connect()
    first = ask(connection)
    ends.peer.say("asked")
    ends.peer.hear()
    connection.settimeout(0.5)
    second = ask(connection)
    ends.peer.say("done")
    return f"before the guard: {first}; under the guard: {second}"


def cgroup_guard(ends, on):
    ends.lab.tell(f"guard {'on' if on else 'off'}")


def netfilter_guard(ends, on):
    table = f"splice_{ends.lab.host_link}"
    rules = f"""
        add table ip {table}
        add chain ip {table} guard {{ type filter hook prerouting priority -150; }}
        add rule ip {table} guard iifname {ends.lab.host_link} tcp flags & psh == psh drop
    """ if on else f"delete table ip {table}"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def probes():
    lines = [line.split() for line in Path("/proc/thread-self/net/netstat").read_text().splitlines()]
    return int(dict(zip(lines[0], lines[1]))["TCPKeepAlive"])


def keepalive_client(ends):
    """Bytes go to and fro every 50 ms: nothing is idle."""
    connection = ends.connect()
    for option, value in ((TCP_KEEPIDLE, 1), (TCP_KEEPINTVL, 1)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    before, end = probes(), time.monotonic() + 2.5
    while time.monotonic() < end:
        ask(connection)
        time.sleep(0.05)
    return f"keep-alive probes on a busy connection: {'some' if probes() > before else 'none'}"


def counters_client(ends):
    connection = ends.connect()
    for _ in range(100):
        ask(connection)
    info = connection.getsockopt(socket.IPPROTO_TCP, 11, 232)
    return f"tcp_info of the client, 300 bytes sent: {struct.unpack_from('Q', info, 120)[0] - 1} acknowledged"


def ulp_client(ends):
    connection = ends.connect()
    try:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
        text = "accepted"
    except OSError as error:
        text = error_name(error)
    return f"TCP_ULP tls: {text}; {ask(connection)}"


def multipath_client(ends):
    connection = ends.connect(IPPROTO_MPTCP)
    return f"answer {ask(connection)}"


def unprivileged_client(ends):
    """A pod's process without rights wants a sockhash of its own."""
    connection = ends.connect()
    os.setgid(65534)
    os.setuid(65534)
    attributes = struct.pack("IIII", BPF_MAP_TYPE_SOCKHASH, 4, 4, 16) + bytes(112)
    result = LIBC.syscall(SYS_BPF, BPF_MAP_CREATE, attributes, len(attributes))
    text = "created" if result >= 0 else error_name(OSError(ctypes.get_errno(), ""))
    return f"unprivileged sockhash: {text}; {ask(connection)}"


def confined_echo(ends):
    """The agent's second system call filter refuses bpf(2) but for reading maps; here all of it."""
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    code = struct.pack("HBBI", 0x20, 0, 0, 0) + struct.pack("HBBI", 0x15, 0, 1, SYS_BPF) \
        + struct.pack("HBBI", 0x06, 0, 0, 0x80000000) + struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    memory = ctypes.create_string_buffer(code, len(code))
    program = Program(4, ctypes.addressof(memory))
    LIBC.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if LIBC.prctl(22, 2, ctypes.byref(program), 0, 0):  # PR_SET_SECCOMP, filter
        return "no filter"
    return echo(ends)


def plain_client(ends):
    return f"answer {ask(ends.connect())}"


CASES = [
    Case("cgroup_skb drops every packet with bytes", lambda ends: guarded_server(ends, cgroup_guard), guarded_client),
    Case("netfilter PRE_ROUTING drops every packet with bytes from the pod",
         lambda ends: guarded_server(ends, netfilter_guard), guarded_client),
    Case("the pod's interface goes down", echo, unplugged_client),
    Case("SO_KEEPALIVE, idle time 1 s, 20 messages a second", echo, keepalive_client),
    Case("tcp_info of the sender", echo, counters_client),
    Case("the pod asks for kernel TLS", echo, ulp_client),
    Case("the pod makes a sockhash of its own", echo, unprivileged_client),
    Case("the server may not call bpf(2) (seccomp, killed if it does)", confined_echo, plain_client),
    Case("the pod's socket is MPTCP", echo, multipath_client),
]
