#!/bin/bash
# Prometheus ends at its start where the metadata server says "not yet" to the credential that only its remote write needs.
#
# Versions: prometheus 2.42.0+ds-5+deb12u1 (Debian 12). 2.53.3 of Debian 13 and 3.5.3 did the same when they were tried.
# Expected: 503 is temporary (RFC 9110, section 15.6.4). A remote write that fails is tried again (Prometheus' documentation, remote write
#           tuning), and scraping, rules and alerts go on meanwhile. What is wrong with a configuration `promtool check config` says.
# Seen:     with sigv4, and 503 from the instance metadata service, Prometheus asks a few times and ends with status 1 after some ten
#           seconds: "error loading config", for "could not get SigV4 credentials". promtool calls the file valid. With oauth2 and
#           503 from the token endpoint it starts, scrapes, and tries again; with sigv4, a role, and 503 from the receiver it does too.
# So what:  on a new node, where the agent for metadata may come after the pod, nothing is monitored until the restart that finds a role;
#           after each the kubelet waits longer, up to five minutes. The message makes one look into the file.
# Needs root: makes a network namespace.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download prometheus=2.42.0+ds-5+deb12u1
dpkg-deb -x prometheus_*.deb packages
cat > try.py <<'PY'
import http.server, json, os, subprocess, threading, time, urllib.error, urllib.request

CREDENTIALS = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2020-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
               "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "example", "Token": "example"}
ROLE = "/latest/meta-data/iam/security-credentials/"
asked, ready = [], False


class Server(http.server.BaseHTTPRequestHandler):
    """The metadata service, the token endpoint of oauth2, and the receiver of samples: 503 from all until the first is ready."""

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked.append(self.path)
        known = {"/latest/api/token": b"token", ROLE: b"role", ROLE + "role": json.dumps(CREDENTIALS).encode()} if ready else {}
        body = known.get(self.path, b"not yet")
        self.send_response(200 if self.path in known else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
LISTEN = "127.0.0.1:9090"
METHODS = {"sigv4": "{region: eu-west-1}", "oauth2": f"{{client_id: a, client_secret: b, token_url: '{url}/oauth2'}}"}


def configure(method):
    with open(method + ".yml", "w") as file:
        file.write(f"global: {{scrape_interval: 1s}}\nremote_write: [{{url: '{url}/write', {method}: {METHODS[method]}}}]\n"
                   f"scrape_configs: [{{job_name: self, static_configs: [{{targets: ['{LISTEN}']}}]}}]\n")
    valid = subprocess.run(["packages/usr/bin/promtool", "check", "config", method + ".yml"], capture_output=True, text=True)
    assert valid.returncode == 0 and "is valid" in valid.stdout, valid


def scraped():
    try:
        with urllib.request.urlopen(f"http://{LISTEN}/api/v1/query?query=up") as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.URLError:
        return []


def run(method):
    """Prometheus until it ends, or until it has scraped itself and a write was tried: the status, what was asked, and the errors."""
    asked.clear()
    process = subprocess.Popen(
        ["packages/usr/bin/prometheus", f"--config.file={method}.yml", f"--storage.tsdb.path=data-{method}",
         f"--web.listen-address={LISTEN}"],
        stderr=open("log", "w"), env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "HOME": os.getcwd(), "PATH": "/usr/bin:/bin"})
    try:
        for _ in range(1200):
            if process.poll() is not None or (scraped() and set(asked) & {"/write", "/oauth2"}):
                break
            time.sleep(0.1)
        status = process.poll()
    finally:
        process.kill()
        process.wait()
    errors = [line.split("err=", 1)[1][:150] for line in open("log") if "level=error" in line and "err=" in line]
    print(f"{method}, metadata {'ready' if ready else 'not ready'}: status {status}, asked {sorted(set(asked))}", *errors, sep="\n    ")
    return status, errors


for method in METHODS:
    configure(method)
status, errors = run("sigv4")
assert status == 1 and "could not get SigV4 credentials" in errors[0] and "error loading config" in errors[1], "Prometheus starts now"
assert "/write" not in asked and ROLE in asked
assert run("oauth2")[0] is None
ready = True
assert run("sigv4")[0] is None and "/write" in asked
PY
unshare --net bash -c 'ip link set lo up; exec env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY python3 try.py'
