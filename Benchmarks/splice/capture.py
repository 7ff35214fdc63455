"""Looks for bytes on every network device of a network namespace (AF_PACKET, all protocols)."""

import collections
import select
import socket

from lab import Channel, Role

ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_STATISTICS = 263, 6
MARKS = {"answers": b"SPLICE-TOKEN", "requests": b"SPLICE-REQUEST"}


def sniff(until, marks):
    """Counts frames per device, and those with each mark, until a line is heard."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    devices = collections.defaultdict(collections.Counter)
    until.say("tapping")
    ended = False
    while True:
        ready = select.select([tap] if ended else [tap, until.end], [], [], 0.2)[0]
        if tap in ready:
            frame, source = tap.recvfrom(65536)
            seen = devices[source[0]]
            seen["frames"] += 1
            for name, mark in marks.items():
                seen[name] += mark in frame
        elif until.end in ready:
            ended = True
        elif ended:
            break
    lost = int.from_bytes(tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)[4:8], "little")
    return {"devices": devices, "lost": lost}


class Capture:
    """Several namespaces at once: `places` are their names and how a process gets there."""

    def __init__(self, places, marks=None):
        self.roles, self.ends = {}, {}
        for name, enter in places.items():
            mine, its = socket.socketpair()
            self.ends[name] = Channel(mine)
            self.roles[name] = Role(enter, sniff, Channel(its), marks or MARKS)
            self.ends[name].hear()

    def stop(self):
        found = {}
        for name, role in self.roles.items():
            self.ends[name].say("stop")
            answer = role.result()
            if "error" in answer:
                raise RuntimeError(f"capture in {name}: {answer['error']}")
            found[name] = answer["result"]
        return found


def summary(found):
    """Frames, with an answer, with a request: of all devices of host and pod."""
    total = collections.Counter()
    for side in found.values():
        for device in side["devices"].values():
            total.update(device)
        total["lost"] += side["lost"]
    return total
