"""
What a token costs without an agent: the same three calls on open connections, as bare as can be.

A program that runs in the node's network namespace: a pod is a line of JSON on standard input, the milliseconds of its
calls a line on standard output.
"""

import json
import re
import socket
import ssl
import sys
import time
import urllib.parse

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Upstream:
    """One kept connection, whose requests are ready bytes and whose answers are split at their length."""

    def __init__(self, context, url):
        parts = urllib.parse.urlsplit(url)
        self.host = parts.netloc
        plain = socket.create_connection((parts.hostname, parts.port), timeout=10)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=parts.hostname)

    def post(self, path, body, kind="application/json", authorization=None):
        """The decoded body of an answer, which must be a success."""
        head = (f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                + (f"Authorization: Bearer {authorization}\r\n" if authorization else "") + "\r\n")
        self.socket.sendall(head.encode() + body.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.receive()
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if not length or head.split(b" ", 2)[1] not in (b"200", b"201"):
            raise ConnectionError(f"the bare client was answered {answer[:300]!r}")
        while len(rest) < int(length[1]):
            rest += self.receive()
        return json.loads(rest)

    def receive(self):
        bytes_ = self.socket.recv(65536)
        if not bytes_:
            raise ConnectionError("an upstream closed the bare client's connection")
        return bytes_


class BareClient:
    """Mints as the agent does for a pod: TokenRequest, STS, IAM Credentials."""

    def __init__(self, configuration):
        with open(configuration) as file:
            settings = dict(re.findall(r'^ +([a-z-]+): "(.*)"$', file.read(), re.MULTILINE))
        with open(settings["kubeconfig"]) as file:
            kubeconfig = dict(re.findall(r"^ +([a-z-]+): (\S+)$", file.read(), re.MULTILINE))
        context = ssl.create_default_context(cafile=settings["ca-file"])
        context.load_cert_chain(kubeconfig["client-certificate"])
        self.provider = settings["provider"]
        self.sts_path = urllib.parse.urlsplit(settings["sts-url"]).path
        self.upstreams = [Upstream(context, url) for url in (
            kubeconfig["server"], settings["sts-url"], settings["iam-credentials-url"])]

    def mint(self, pod):
        """Milliseconds from the first byte sent to the last token read."""
        kubernetes, sts, iam = self.upstreams
        begin = time.perf_counter()
        subject = kubernetes.post(
            f"/api/v1/namespaces/{pod['namespace']}/serviceaccounts/{pod['service_account']}/token",
            json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
                "audiences": [self.provider], "expirationSeconds": 3600,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}}}))
        federated = sts.post(self.sts_path, urllib.parse.urlencode({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": self.provider, "scope": SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "subject_token": subject["status"]["token"]}), "application/x-www-form-urlencoded")
        account = urllib.parse.quote(pod["google_service_account"], safe="")
        iam.post(f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken",
                 json.dumps({"scope": [SCOPE], "lifetime": "3600s"}), authorization=federated["access_token"])
        return (time.perf_counter() - begin) * 1000


if __name__ == "__main__":
    client = BareClient(sys.argv[1])
    for line in sys.stdin:
        print(client.mint(json.loads(line)), flush=True)
