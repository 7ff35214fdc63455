"""Not a client: what the C library makes of each spelling of the metadata server, and the name server of its IPv6 record."""

import secrets
import socket
import struct

for name in ("metadata", "metadata.google.internal", "metadata.google.internal."):
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(name, 80, socket.AF_UNSPEC, socket.SOCK_STREAM)}
    except socket.gaierror:
        found = {"-"}
    print(name, ",".join(sorted(found)))

AAAA, IN = 28, 1
labels = b"".join(bytes([len(label)]) + label for label in b"metadata.google.internal".split(b"."))
question = secrets.token_bytes(2) + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, AAAA, IN)
with open("/etc/resolv.conf") as file:
    server = next(line.split()[1] for line in file if line.startswith("nameserver"))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(5)
    asking.sendto(question, (server, 53))
    _, flags, _, answers = struct.unpack(">HHHH", asking.recv(512)[:8])
print("AAAA", {0: "empty", 3: "no such name"}[flags & 0xF] if answers == 0 else "an address")
