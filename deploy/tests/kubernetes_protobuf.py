"""Reads the objects that clients send as protobuf: helm its releases, which are Secrets, and `kubectl create` what it makes."""
import base64

MAGIC = b"k8s\0"


def _number(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift, more = at + 1, shift + 7, data[at] & 0x80
        if not more:
            return value, at


def _fields(data):
    """Number and value of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        if tag & 7 == 0:
            value, at = _number(data, at)
        elif tag & 7 == 2:
            length, at = _number(data, at)
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"field {tag >> 3} has the wire type {tag & 7}")
        yield tag >> 3, value


def _map(entries):
    pairs = (dict(_fields(entry)) for entry in entries)
    return {pair[1].decode(): pair.get(2, b"") for pair in pairs}


def read(data):
    """The object, as JSON has it: a Secret, a ConfigMap or a Namespace."""
    if not data.startswith(MAGIC):
        raise ValueError("not Kubernetes' protobuf")
    envelope = dict(_fields(data[len(MAGIC) :]))
    kind = {number: value.decode() for number, value in _fields(envelope[1])}
    if kind[1] != "v1" or kind[2] not in ("Secret", "ConfigMap", "Namespace"):
        raise ValueError(f"{kind[2]} is not read from protobuf")
    fields = list(_fields(envelope[2]))
    metadata = list(_fields(dict(fields)[1]))
    labels = _map(value for number, value in metadata if number == 11)
    result = {
        "apiVersion": "v1",
        "kind": kind[2],
        "metadata": {
            "name": dict(metadata)[1].decode(),
            "labels": {key: value.decode() for key, value in labels.items()},
        },
    }
    if kind[2] == "Namespace":
        return result
    result["metadata"]["namespace"] = dict(metadata).get(3, b"").decode()
    contents = _map(value for number, value in fields if number == 2)
    if kind[2] == "ConfigMap":
        return result | {"data": {key: value.decode() for key, value in contents.items()}}
    return result | {
        "data": {key: base64.b64encode(value).decode() for key, value in contents.items()},
        "type": dict(fields).get(3, b"Opaque").decode(),
    }
