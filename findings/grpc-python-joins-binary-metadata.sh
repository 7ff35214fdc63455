#!/bin/bash
# Two values of a binary gRPC header, joined by a comma as the protocol allows, are an error to grpcio and other bytes to grpclib.
#
# Versions: grpcio 1.85.3, grpclib 0.4.9, h2 4.4.1 (PyPI; h2 is the client here).
# Expected: duplicate headers "may have their values joined with "," as the delimiter and be considered semantically equivalent.
#           Implementations must split Binary-Headers on "," before decoding" (gRPC over HTTP2, Custom-Metadata). Java's splits.
# Seen:     ids-bin: AQ and ids-bin: Ag are the two values 01 and 02 in both libraries. As one header AQ,Ag, grpcio ends the call
#           with INTERNAL (13) before the method is called; grpclib calls it with one value 010020, and for padded values
#           AQ==,Ag== with the first alone.
# So what:  a proxy that joins headers, as HTTP allows each to do, breaks Python's servers behind it; what has to survive one is
#           sent as one value, a serialized message.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check grpcio==1.85.3 grpclib==0.4.9 h2==4.4.1
cat > "$folder/ask.py" <<'PY'
import asyncio, concurrent.futures, socket

import grpc, grpclib.const, grpclib.encoding.base, grpclib.server
import h2.config, h2.connection, h2.events


def ask(port, *values):
    """The method's answer and the status of a call with these headers."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(1, [
        (":method", "POST"), (":scheme", "http"), (":path", "/lab.Lab/Echo"), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"), *(("ids-bin", value) for value in values)])
    connection.send_data(1, bytes(5), end_stream=True)
    body, status = b"", None
    with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
        stream.sendall(connection.data_to_send())
        while True:
            for event in connection.receive_data(stream.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    status = dict(event.headers).get("grpc-status", status)
                if isinstance(event, h2.events.StreamEnded):
                    return f"status {status}, values {body[5:].decode() or 'none'}"
            stream.sendall(connection.data_to_send())


class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        return grpc.unary_unary_rpc_method_handler(
            lambda _, context: b" ".join(v.hex().encode() for k, v in context.invocation_metadata() if k == "ids-bin"))


class Codec(grpclib.encoding.base.CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message, message_type):
        return message

    def decode(self, data, message_type):
        return data


class Lab:
    async def echo(self, stream):
        await stream.recv_message()
        await stream.send_message(b" ".join(value.hex().encode() for value in stream.metadata.getall("ids-bin")))

    def __mapping__(self):
        return {"/lab.Lab/Echo": grpclib.const.Handler(self.echo, grpclib.const.Cardinality.UNARY_UNARY, bytes, bytes)}


async def main():
    grpcio = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[Handlers()])
    port = grpcio.add_insecure_port("127.0.0.1:0")
    grpcio.start()
    lib = grpclib.server.Server([Lab()], codec=Codec())
    listener = socket.create_server(("127.0.0.1", 0))
    await lib.start(sock=listener)
    for values in (("AQ", "Ag"), ("AQ==", "Ag=="), ("AQ,Ag",), ("AQ==,Ag==",)):
        one = await asyncio.to_thread(ask, port, *values)
        other = await asyncio.to_thread(ask, listener.getsockname()[1], *values)
        print(f"{' and '.join(values)}: grpcio {one}; grpclib {other}")
    lib.close()
    await lib.wait_closed()
    grpcio.stop(0).wait()


asyncio.run(main())
PY
seen=$("$folder/venv/bin/python" "$folder/ask.py")
echo "$seen"
[ "$seen" = "AQ and Ag: grpcio status 0, values 01 02; grpclib status 0, values 01 02
AQ== and Ag==: grpcio status 0, values 01 02; grpclib status 0, values 01 02
AQ,Ag: grpcio status 13, values none; grpclib status 0, values 010020
AQ==,Ag==: grpcio status 13, values none; grpclib status 0, values 01" ]
