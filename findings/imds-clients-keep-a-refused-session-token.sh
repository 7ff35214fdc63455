#!/bin/bash
# OpenDAL, ec2-metadata and AWS's new SDK for Python keep a session token that the metadata server refuses.
#
# Versions: opendal 0.47.12, ec2-metadata 3.0.0, aws-credentials-imds 0.4.0 (of the AWS SDK for Python 4), botocore 1.43.11 (PyPI); needs
#           Python 3.12 or later, as that SDK does.
# Expected: 401 says that the session token of a GET is not valid, and the answer to it is a new token (EC2 User Guide, error codes of the
#           instance metadata service). AWS's SDKs for Go do so on 401; botocore makes a token for each refresh.
# Seen:     the server ends the tokens that it has given, as one does that starts again without its key. At their next refresh the three
#           send the old token, fail, and do so each time again without a PUT, though they had asked for a token of 21,600 seconds (the
#           most that there is). OpenDAL fails while its credentials live for another minute.
# So what:  a metadata server recognizes the session tokens of its predecessor (podidentd keeps their key on the node), or these processes
#           have to be started again. ec2-metadata has clear_all(); the others have nothing.
# Needs root: makes a network namespace.
set -euo pipefail
python=
for candidate in python3.14 python3.13 python3.12 python3 "$(pyenv root 2> /dev/null)"/versions/3.1[2-9]*/bin/python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2> /dev/null; then python=$candidate; fi
done
[ -n "$python" ] || { echo "Python 3.12 or later is missing here." >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check opendal==0.47.12 ec2-metadata==3.0.0 aws-credentials-imds==0.4.0 \
    smithy-aws-core==0.12.0 smithy-core==0.9.0 smithy-http==0.6.0 botocore==1.43.11
cat > "$folder/try.py" <<'PY'
import asyncio, datetime, http.server, json, logging, threading, time, uuid

tokens, log, asked = set(), [], []


class Server(http.server.BaseHTTPRequestHandler):
    def answer(self, body, status=200, **headers):
        log.append((self.command, status))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(body)}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self):
        tokens.add(token := uuid.uuid4().hex)
        asked.append(self.headers["X-aws-ec2-metadata-token-ttl-seconds"])
        self.answer(token, X_aws_ec2_metadata_token_ttl_seconds=asked[-1])

    def do_GET(self):
        if self.path.startswith("/shop/"):
            return self.answer("data")
        if self.headers["X-aws-ec2-metadata-token"] not in tokens:
            return self.answer("", 401)
        if not self.path.endswith("/security-credentials/shop"):
            return self.answer("InService" if self.path.endswith("-state") else "shop")
        now = datetime.datetime.now(datetime.timezone.utc)
        begin, end = (f"{now + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}" for seconds in (0, life))
        self.answer(json.dumps({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": begin, "Expiration": end,
                                "AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret", "Token": "token"}))

    def log_message(self, *_):
        pass


threading.Thread(target=http.server.ThreadingHTTPServer(("169.254.169.254", 80), Server).serve_forever, daemon=True).start()
import aws_credentials_imds, botocore.utils, ec2_metadata, opendal
logging.disable(logging.CRITICAL)


async def make():
    return aws_credentials_imds.IMDSCredentialsResolver()


run = asyncio.new_event_loop().run_until_complete
sdk = run(make())
bucket = opendal.Operator("s3", bucket="shop", region="us-east-1", endpoint="http://169.254.169.254")
metadata, fetcher = ec2_metadata.EC2Metadata(), botocore.utils.InstanceMetadataFetcher()
CLIENTS = {
    # OpenDAL refreshes credentials with less than two minutes left, the SDK those that have ended.
    "opendal": (60, lambda: bucket.read("file")),
    "ec2-metadata": (3600, lambda: metadata.autoscaling_target_lifecycle_state),
    "AWS SDK 4": (1, lambda: run(sdk.get_identity(properties={}))),
    "botocore": (3600, lambda: fetcher.retrieve_iam_role_credentials() or 1 / 0),
}
kept = {}
for name, (life, call) in CLIENTS.items():
    call()
    tokens.clear()
    results = []
    for _ in range(3):
        time.sleep(1.5)
        log.clear()
        try:
            call()
            results.append("works")
        except Exception as error:
            results.append(type(error).__name__)
    kept[name] = log == [("GET", 401)]
    print(f"{name}: {', '.join(results)}; {f'the last time only a 401 for the token of {asked[-1]} s' if kept[name] else 'a new token'}")
assert kept == {"opendal": True, "ec2-metadata": True, "AWS SDK 4": True, "botocore": False}, "a client behaves differently now"
PY
env -i PATH="$PATH" HOME="$folder" unshare --net sh -c \
    'ip link set lo up && ip addr add 169.254.169.254/32 dev lo && exec "$@"' sh "$folder/venv/bin/python" "$folder/try.py"
