"""The DNS snippets: those for dnsmasq and unbound by the real servers, those for CoreDNS by their text alone."""
import contextlib
import json
import pathlib
import random
import re
import shlex
import socket
import subprocess
import tempfile
import unittest

import manifests

NAME = "metadata.google.internal"
ADDRESS = "169.254.169.254"
DNS = manifests.DEPLOY / "dns"
DOMAIN = "cluster.local"


def names(domain=DOMAIN):
    """What the snippets answer for: the name, what a pod's search list makes of it in the cluster's own domain, and the short
    one."""
    return [NAME, f"{NAME}.svc.{domain}", "metadata"]


def neighbours(domain=DOMAIN):
    """Names that are none of ours, and their addresses: what is above ours, beside them, and what a search list makes of them
    that no tenant can claim."""
    others = [
        "db.example", "google.internal", "x.google.internal", "metadata.example", f"google.internal.svc.{domain}",
        f"x.google.internal.svc.{domain}", f"metadata.svc.{domain}", f"metadata.team-a.svc.{domain}",
        f"{NAME}.team-a.svc.{domain}", f"{NAME}.{domain}",
    ]
    return {name: f"192.0.2.{number}" for number, name in enumerate(others, 1)}


def free_port():
    """A port that is free for UDP and TCP just now, below those that the kernel gives to connections of others."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as streams:
            try:
                datagrams.bind(("127.0.0.1", port))
                streams.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


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


def upstream(port, domain=DOMAIN):
    """What stands for the rest of the world, and for the cluster's own names: it knows the neighbours, and a wrong answer to
    each of ours, as a Service of a tenant gives it."""
    records = neighbours(domain) | {name: "192.0.2.66" for name in names(domain)}
    return server(
        ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
         "--listen-address=127.0.0.1", f"--port={port}", "--user=root", "--pid-file="]
        + [f"--host-record={name},{address}" for name, address in records.items()], port,
    )


@contextlib.contextmanager
def dnsmasq(snippet, port, world):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "dnsmasq.conf"
        path.write_text(snippet)
        command = [
            "dnsmasq", "--no-daemon", f"--conf-file={path}", "--no-resolv", "--no-hosts", "--bind-interfaces",
            "--listen-address=127.0.0.1", f"--port={port}", f"--server=127.0.0.1#{world}", "--user=root", "--pid-file=",
        ]
        with server(command, port):
            yield


@contextlib.contextmanager
def unbound(snippet, port, world):
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "unbound.conf"
        (pathlib.Path(directory) / "snippet.conf").write_text(snippet)
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
include: "{directory}/snippet.conf"
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@{world}
""")
        with server(["unbound", "-d", "-c", str(path)], port):
            yield


SERVERS = {"dnsmasq.conf": dnsmasq, "unbound.conf": unbound}


class RealServerTests(unittest.TestCase):
    def check(self, port, domain=DOMAIN):
        for name in names(domain):
            with self.subTest(name):
                self.assertEqual(ask(port, name, "A"), ("NOERROR", [ADDRESS]))
                self.assertEqual(ask(port, name.upper(), "A"), ("NOERROR", [ADDRESS]))
                self.assertEqual(ask(port, name, "AAAA"), ("NOERROR", []))
        for name, address in neighbours(domain).items():
            with self.subTest(name):
                self.assertEqual(ask(port, name, "A"), ("NOERROR", [address]))

    def test_each_snippet_answers_for_its_names_and_passes_on_every_other(self):
        for file, run in SERVERS.items():
            world, port = free_port(), free_port()
            with self.subTest(file), upstream(world), run((DNS / file).read_text(), port, world):
                self.check(port)

    def test_the_documented_command_writes_each_snippet_for_another_cluster_domain(self):
        domain = "k8s.example.org"
        for file, run in SERVERS.items():
            (command,) = re.findall(r"sed '[^']+'", (DNS / file).read_text().replace("\n# ", " "))
            written = subprocess.run(
                [*shlex.split(command.replace("YOUR.DOMAIN", domain)), str(DNS / file)], check=True, capture_output=True,
                text=True,
            ).stdout
            world, port = free_port(), free_port()
            with self.subTest(file), upstream(world, domain), run(written, port, world):
                self.check(port, domain)

    def test_without_a_snippet_each_name_is_answered_by_the_rest_of_the_world(self):
        world = free_port()
        with upstream(world):
            for name in names():
                self.assertEqual(ask(world, name, "A"), ("NOERROR", ["192.0.2.66"]), name)


class HostsEntryTests(unittest.TestCase):
    def test_both_components_write_the_two_names_that_a_hosts_entry_can_serve(self):
        expected = [NAME, "metadata"]
        text = (manifests.DEPLOY / "components/dns-hosts-policy/policy.yaml").read_text()
        (policy,) = re.findall(r"hostnames: (\[[^]]+\])", text)
        self.assertEqual(json.loads(policy), expected)
        aliases = (manifests.DEPLOY / "workload/host-aliases/kustomization.yaml").read_text()
        self.assertEqual(set(re.findall(r"hostnames: (.+)", aliases)), {f"[{', '.join(expected)}]"})


class CorefileTests(unittest.TestCase):
    """Neither Debian nor PyPI has a CoreDNS: what is checked is that all three say the same, and what. `NameTests` has the
    lab's name server answer what the block says."""

    EXPECTED = f"{':53 '.join(names())}:53 {{ hosts {{ {ADDRESS} {' '.join(names())} ttl 300 }} }}"

    def normalised(self, text):
        return " ".join(line for line in text.splitlines() if not line.startswith("#")).split()

    def test_the_snippet_is_a_server_block_for_these_names_alone(self):
        self.assertEqual(self.normalised((DNS / "corefile.snippet").read_text()), self.EXPECTED.split())

    def test_the_config_maps_hold_the_same_block_under_a_key_that_is_imported_as_a_server(self):
        for path in DNS.glob("coredns-custom-*.yaml"):
            with self.subTest(path.name):
                (config_map,) = manifests.documents(path.read_text())
                self.assertEqual(config_map["metadata"], {"name": "coredns-custom", "namespace": "kube-system"})
                self.assertEqual(list(config_map["data"]), ["podidentd.server"])
                self.assertEqual(self.normalised(config_map["data"]["podidentd.server"]), self.EXPECTED.split())
