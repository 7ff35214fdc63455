"""What a user may by Roles, as an API server decides it (RBAC)."""
import urllib.parse

import yaml

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def attributes(method, url):
    """Namespace, group, resource with its subresource, and verb of a request; None: it is for no resource."""
    parts = url.path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    verb = VERBS.get(method)
    if verb is None:
        is_watch = urllib.parse.parse_qs(url.query).get("watch") in (["true"], ["1"])
        verb = "get" if len(rest) > 1 else "watch" if is_watch else "list"
    return namespace, group, "/".join([rest[0], *rest[2:3]]), verb


class Rights:
    """The rights of one user: those of each Role in its namespace, of a ClusterRole in the namespaces `elsewhere`."""

    def __init__(self, manifest, elsewhere):
        self.granted, self.used = set(), set()
        for role in yaml.safe_load_all(manifest):
            place = role["metadata"].get("namespace")
            for namespace in [place] if place else elsewhere:
                for rule in role["rules"]:
                    self.granted |= {
                        (namespace, group, resource, verb)
                        for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
                    }

    def refusal(self, method, url):
        """Why the user may not make a request, in the API server's words; None if he may. Discovery is everybody's."""
        found = attributes(method, url)
        if found is None:
            return None
        namespace, group, resource, verb = found
        needed = {found}
        # A command over WebSocket begins with a GET: since 1.35 the server asks for the right to create as well.
        if (resource, verb) == ("pods/exec", "get"):
            needed.add((namespace, group, resource, "create"))
        missing = sorted(needed - self.granted)
        if missing:
            verb = missing[0][3]
            return (
                f'{resource} is forbidden: User "test" cannot {verb} resource "{resource}" in API group "{group}" in the '
                f'namespace "{namespace}"'
            )
        self.used |= needed
        return None

    @property
    def summary(self):
        return {name: sorted(" ".join(right) for right in rights) for name, rights in [("granted", self.granted), ("used", self.used)]}
