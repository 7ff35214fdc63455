"""The API server's exec and log endpoints, as kubectl uses them: commands over WebSocket (v5.channel.k8s.io), and logs."""
import base64
import hashlib
import json
import struct
import urllib.parse

PROTOCOL = "v5.channel.k8s.io"
STDOUT, STDERR, ERROR = 1, 2, 3


class Unreachable(Exception):
    """The kubelet of the pod's node does not answer; the text is the API server's."""


def _frame(opcode, payload):
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, length)
    return head + payload


def _outcome(status):
    if status == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {status}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(status)}]},
    }


def serve(handler, api, url):
    """Answers a request for a container, if `url` is one. Says whether it was."""
    parts = url.path.strip("/").split("/")
    if len(parts) != 7 or parts[2] != "namespaces" or parts[4] != "pods" or parts[6] not in ("exec", "log"):
        return False
    namespace, pod, endpoint = parts[3], parts[5], parts[6]
    query = urllib.parse.parse_qs(url.query)
    try:
        if ("Pod", namespace, pod) not in api.objects:
            _refuse(handler, 404, "NotFound", f'pods "{pod}" not found')
        elif endpoint == "log":
            api.reach(namespace, pod)
            _log(handler, api.log(namespace, pod, query))
        elif handler.headers.get("Upgrade", "").lower() != "websocket":
            # kubectl's second try, by SPDY: it learns the same, and nothing runs twice.
            api.reach(namespace, pod)
            _refuse(handler, 400, "BadRequest", "this server speaks WebSocket only")
        else:
            api.reach(namespace, pod)
            _execute(handler, *api.execute(namespace, pod, query.get("container", [""])[0], query["command"]))
    except Unreachable as problem:
        _refuse(handler, 500, "InternalError", str(problem))
    return True


def _execute(handler, output, errors, status):
    key = handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    handler.send_response(101, "Switching Protocols")
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
    handler.send_header("Sec-WebSocket-Protocol", PROTOCOL)
    handler.end_headers()
    for channel, data in ((STDOUT, output), (STDERR, errors), (ERROR, json.dumps(_outcome(status)).encode())):
        for start in range(0, len(data), 32768):
            handler.wfile.write(_frame(2, bytes([channel]) + data[start : start + 32768]))
    handler.wfile.write(_frame(8, struct.pack("!H", 1000)))
    # Until kubectl has read it all and closes.
    while handler.rfile.read(4096):
        pass
    handler.close_connection = True


def _log(handler, text):
    handler.send_response(200)
    handler.send_header("Content-Type", "text/plain")
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)


def _refuse(handler, code, reason, message):
    text = json.dumps(
        {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
            "message": message,
        }
    ).encode()
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)
