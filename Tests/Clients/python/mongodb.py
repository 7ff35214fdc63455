"""MongoDB's driver with MONGODB-OIDC, ENVIRONMENT:gcp. The server is this program: it keeps the identity token that it gets."""

import importlib.metadata
import os
import socketserver
import struct
import threading

import bson
import pymongo
import pymongo.server_api

OP_MSG = 2013
HEADER = struct.Struct("<iiii")
tokens = []


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        while header := self.request.recv(HEADER.size, 0x100):  # MSG_WAITALL
            length, identifier, _, code = HEADER.unpack(header)
            body = self.request.recv(length - HEADER.size, 0x100)
            assert code == OP_MSG, code
            # Flags and the kind of the section come before the document.
            document = bson.encode(answer(bson.decode(body[5:])))
            reply = struct.pack("<iB", 0, 0) + document
            self.request.sendall(HEADER.pack(HEADER.size + len(reply), 0, identifier, OP_MSG) + reply)


def answer(command):
    name = next(iter(command))
    if name == "hello":
        return {
            "ok": 1, "helloOk": True, "isWritablePrimary": True, "minWireVersion": 0, "maxWireVersion": 21,
            "maxBsonObjectSize": 2**24, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
        }
    if name == "saslStart":
        assert command["mechanism"] == "MONGODB-OIDC", command
        tokens.append(bson.decode(command["payload"])["jwt"])
        return {"ok": 1, "conversationId": 1, "done": True, "payload": b""}
    return {"ok": 1}


server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
client = pymongo.MongoClient(
    *server.server_address, directConnection=True, authMechanism="MONGODB-OIDC",
    authMechanismProperties={"ENVIRONMENT": "gcp", "TOKEN_RESOURCE": os.environ["AUDIENCE"]},
    server_api=pymongo.server_api.ServerApi("1"), serverSelectionTimeoutMS=20_000,
)
client.admin.command("ping")
print("version pymongo", importlib.metadata.version("pymongo"))
print("identity", tokens[0])
