"""As much of a Kubernetes API server as kubectl and helm need to apply, get and delete: a store of objects, which are
validated by the schemas of Kubernetes 1.37 as the server does it with fieldValidation=Strict."""
import http.server
import json
import threading
import urllib.parse

import kubernetes_validate
import yaml

import container_access
import kubernetes_protobuf

VERSION = "1.37"

# Group and version, kind, resource, whether it has namespaces.
KINDS = [
    ("v1", "Namespace", "namespaces", False),
    ("v1", "ServiceAccount", "serviceaccounts", True),
    ("v1", "ConfigMap", "configmaps", True),
    ("v1", "Secret", "secrets", True),
    ("v1", "Service", "services", True),
    ("v1", "Pod", "pods", True),
    ("apps/v1", "Deployment", "deployments", True),
    ("apps/v1", "StatefulSet", "statefulsets", True),
    ("batch/v1", "Job", "jobs", True),
    ("batch/v1", "CronJob", "cronjobs", True),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", True),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", True),
    ("apps/v1", "DaemonSet", "daemonsets", True),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", True),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", True),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", False),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", False),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", False),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", False),
]
APPLY = "application/apply-patch+yaml"
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def merge(target, patch):
    """RFC 7396. Enough for what the tests apply twice: they look at which objects there are, not at lists in them."""
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


class APIServer:
    """Serves on 127.0.0.1 while it is entered. `objects` has every object by kind, namespace ("" without one) and name."""

    def __enter__(self):
        self.objects = {}
        # The kind of each object that was sent only to be tried, with dryRun=All.
        self.tried = []
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # For tests to replace: why a request is refused to the user, whether the kubelet of a pod can be reached, a command's
    # output, errors and status, and a log.

    def refusal(self, method, url):
        return None

    def reach(self, namespace, pod):
        raise container_access.Unreachable("no container runs here")

    def execute(self, namespace, pod, container, command):
        raise NotImplementedError

    def log(self, namespace, pod, query):
        raise NotImplementedError

    @property
    def kubeconfig(self):
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {"name": "test", "cluster": {"server": f"http://127.0.0.1:{self.server.server_address[1]}"}}
            ],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }

    def names(self, kind):
        return sorted((namespace, name) for found, namespace, name in self.objects if found == kind)

    def answer(self, method, path, query, body, content_type=""):
        parts = path.strip("/").split("/")
        if path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": self._groups()}
        if path == "/version":
            return 200, {"major": "1", "minor": VERSION.split(".")[1], "gitVersion": f"v{VERSION}.0"}
        if path == "/openapi/v3":
            paths = {self._prefix(version)[1:]: {"serverRelativeURL": f"/openapi/v3{self._prefix(version)}"} for version, *_ in KINDS}
            return 200, {"paths": paths}
        if parts[:2] == ["openapi", "v3"]:
            return 200, self._schema("/" + "/".join(parts[2:]))
        for version, kind, resource, has_namespaces in KINDS:
            prefix = self._prefix(version).strip("/").split("/")
            if parts == prefix:
                return 200, self._resources(version)
            if parts[: len(prefix)] != prefix:
                continue
            rest = parts[len(prefix) :]
            namespace = ""
            if has_namespaces and len(rest) >= 3 and rest[0] == "namespaces":
                namespace, rest = rest[1], rest[2:]
            if rest[0] == resource and len(rest) <= 2:
                with self.lock:
                    return self._object(method, (version, kind, namespace), rest[1:], query, body, content_type)
        return self._failure(404, "NotFound", "the server could not find the requested resource")

    def _object(self, method, group, rest, query, body, content_type):
        version, kind, namespace = group
        if method == "GET" and not rest:
            return 200, self._list(group, query)
        if method in ("POST", "PUT") or content_type == APPLY:
            problem = self._problem(body)
            if problem:
                return self._failure(422, "Invalid", f"{kind} {body['metadata']['name']} is invalid: {problem}")
        if query.get("dryRun") == ["All"] and method != "GET":
            self.tried.append(kind)
            return 200, body
        if method == "POST" and not rest:
            key = (kind, namespace, body["metadata"]["name"])
            if key in self.objects:
                return self._failure(409, "AlreadyExists", "it exists")
            self.objects[key] = body
            return 201, body
        key = (kind, namespace, rest[0])
        if content_type == APPLY:
            self.objects[key] = body
        elif key not in self.objects:
            return self._failure(404, "NotFound", f"{kind} {rest[0]} not found")
        elif method == "PATCH":
            merge(self.objects[key], body)
        elif method == "PUT":
            self.objects[key] = body
        elif method == "DELETE":
            return 200, self.objects.pop(key)
        return 200, self.objects[key]

    def _list(self, group, query):
        version, kind, namespace = group
        selector = dict(term.split("=", 1) for term in query.get("labelSelector", [""])[0].split(",") if term)
        items = [
            item
            for (found, place, _), item in sorted(self.objects.items())
            if found == kind
            and namespace in ("", place)
            and selector.items() <= item["metadata"].get("labels", {}).items()
        ]
        return {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": items}

    @staticmethod
    def _problem(body):
        """Why a server with this version's schemas refuses the object; nothing if it does not."""
        try:
            kubernetes_validate.validate(body, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            return f"{'.'.join(str(part) for part in error.path)}: {error.message}"
        return None

    @staticmethod
    def _prefix(version):
        return f"/apis/{version}" if "/" in version else f"/api/{version}"

    @staticmethod
    def _groups():
        versions = dict.fromkeys(version for version, *_ in KINDS if "/" in version)
        return [
            {"name": group, "versions": [entry], "preferredVersion": entry}
            for group, entry in (
                (version.split("/")[0], {"groupVersion": version, "version": version.split("/")[1]}) for version in versions
            )
        ]

    @staticmethod
    def _resources(version):
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": version,
            "resources": [
                {"name": resource, "singularName": kind.lower(), "namespaced": has_namespaces, "kind": kind, "verbs": VERBS}
                for found, kind, resource, has_namespaces in KINDS
                if found == version
            ],
        }

    def _schema(self, prefix):
        """What kubectl looks for: that fields are validated by the server."""
        paths = {}
        for version, kind, resource, _ in KINDS:
            if self._prefix(version) != prefix:
                continue
            group, _, number = version.rpartition("/")
            paths[f"{prefix}/{resource}/{{name}}"] = {
                "patch": {
                    "parameters": [{"name": name, "in": "query"} for name in ("dryRun", "fieldValidation")],
                    "x-kubernetes-action": "patch",
                    "x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind},
                    "responses": {},
                }
            }
        return {"openapi": "3.0.0", "info": {"title": "test", "version": "1"}, "paths": paths}

    @staticmethod
    def _failure(code, reason, message):
        return code, {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
            "message": message,
        }

    def _handler(self):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                url = urllib.parse.urlsplit(self.path)
                refusal = api.refusal(self.command, url)
                if refusal is None and container_access.serve(self, api, url):
                    return
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                kind = self.headers.get("Content-Type", "")
                # JSON is YAML, and what is applied by the server is sent as YAML.
                read = kubernetes_protobuf.read if text.startswith(kubernetes_protobuf.MAGIC) else yaml.safe_load
                body = read(text) if text and self.command != "DELETE" else None
                query = urllib.parse.parse_qs(url.query)
                if refusal is None:
                    code, value = api.answer(self.command, url.path, query, body, kind)
                else:
                    code, value = api._failure(403, "Forbidden", refusal)
                # Without blanks, as the real server writes it.
                answer = json.dumps(value, separators=(",", ":")).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        return Handler
