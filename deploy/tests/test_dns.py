"""The DNS snippets: those for dnsmasq and unbound by the real servers, those for CoreDNS by their text alone."""
import contextlib
import pathlib
import re
import socket
import subprocess
import tempfile
import unittest

import manifests

NAME = "metadata.google.internal"
ADDRESS = "169.254.169.254"
DNS = manifests.DEPLOY / "dns"


def free_port():
    """A port that is free for UDP and TCP just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        return datagrams.getsockname()[1]


@contextlib.contextmanager
def server(command, port):
    """Runs a name server until the block ends; enters the block when it answers."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(10):
            # dig itself waits and tries again: no sleeping here.
            result = subprocess.run(
                ["dig", "@127.0.0.1", "-p", str(port), "+tries=3", "+time=1", "+norecurse", "ready.invalid"],
                capture_output=True, text=True,
            )
            if "status:" in result.stdout:
                break
            if process.poll() is not None:
                raise RuntimeError(process.stdout.read())
        yield
    finally:
        process.kill()
        process.communicate()


def ask(port, name, kind):
    """The status and the answers to one question."""
    result = subprocess.run(
        ["dig", "@127.0.0.1", "-p", str(port), "+tries=3", "+time=3", name, kind], capture_output=True, text=True
    )
    status = re.search(r"status: (\w+)", result.stdout)
    answers = [line.split()[-1] for line in result.stdout.splitlines() if line and not line.startswith(";")]
    return (status.group(1) if status else result.stdout), answers


def upstream(port):
    """What stands for the rest of the world: it knows the unrelated names, and a wrong answer to ours."""
    records = {"db.example": "192.0.2.7", "google.internal": "192.0.2.8", "x.google.internal": "192.0.2.9", NAME: "192.0.2.66"}
    return server(
        ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
         "--listen-address=127.0.0.1", f"--port={port}", "--user=root", "--pid-file="]
        + [f"--host-record={name},{address}" for name, address in records.items()], port,
    )


class RealServerTests(unittest.TestCase):
    def check(self, command, port):
        with server(command, port):
            self.assertEqual(ask(port, NAME, "A"), ("NOERROR", [ADDRESS]))
            self.assertEqual(ask(port, NAME.upper(), "A"), ("NOERROR", [ADDRESS]))
            self.assertEqual(ask(port, NAME, "AAAA"), ("NOERROR", []))
            self.assertEqual(ask(port, "db.example", "A"), ("NOERROR", ["192.0.2.7"]))
            self.assertEqual(ask(port, "google.internal", "A"), ("NOERROR", ["192.0.2.8"]))
            self.assertEqual(ask(port, "x.google.internal", "A"), ("NOERROR", ["192.0.2.9"]))

    def test_dnsmasq_answers_for_the_name_and_passes_on_every_other(self):
        with tempfile.TemporaryDirectory() as directory:
            world, port = free_port(), free_port()
            path = pathlib.Path(directory) / "dnsmasq.conf"
            path.write_text((DNS / "dnsmasq.conf").read_text())
            with upstream(world):
                self.check(
                    ["dnsmasq", "--no-daemon", f"--conf-file={path}", "--no-resolv", "--no-hosts", "--bind-interfaces",
                     "--listen-address=127.0.0.1", f"--port={port}", f"--server=127.0.0.1#{world}", "--user=root",
                     "--pid-file="], port)

    def test_unbound_answers_for_the_name_and_passes_on_every_other(self):
        with tempfile.TemporaryDirectory() as directory:
            world, port = free_port(), free_port()
            path = pathlib.Path(directory) / "unbound.conf"
            path.write_text(f"""
server:
    interface: 127.0.0.1@{port}
    do-daemonize: no
    username: ""
    chroot: ""
    pidfile: ""
    use-syslog: no
    do-not-query-localhost: no
    module-config: "iterator"
include: "{DNS / 'unbound.conf'}"
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{world}
""")
            with upstream(world):
                self.check(["unbound", "-d", "-c", str(path)], port)

    def test_without_the_snippet_the_name_is_answered_by_the_rest_of_the_world(self):
        world = free_port()
        with upstream(world):
            self.assertEqual(ask(world, NAME, "A"), ("NOERROR", ["192.0.2.66"]))


class CorefileTests(unittest.TestCase):
    """No CoreDNS is to be had where these tests run: what is checked is that all three say the same, and what."""

    EXPECTED = f"{NAME}:53 {{ hosts {{ {ADDRESS} {NAME} ttl 300 }} }}"

    def normalised(self, text):
        return " ".join(line for line in text.splitlines() if not line.startswith("#")).split()

    def test_the_snippet_is_a_server_block_for_this_name_alone(self):
        self.assertEqual(self.normalised((DNS / "corefile.snippet").read_text()), self.EXPECTED.split())

    def test_the_config_maps_hold_the_same_block_under_a_key_that_is_imported_as_a_server(self):
        for path in DNS.glob("coredns-custom-*.yaml"):
            with self.subTest(path.name):
                (config_map,) = manifests.documents(path.read_text())
                self.assertEqual(config_map["metadata"], {"name": "coredns-custom", "namespace": "kube-system"})
                self.assertEqual(list(config_map["data"]), ["podidentd.server"])
                self.assertEqual(self.normalised(config_map["data"]["podidentd.server"]), self.EXPECTED.split())
