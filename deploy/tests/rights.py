"""What no manifest may grant: a right to mint tokens, to read secrets, or anything by wildcard."""

AUDIENCE_VERB = "request-serviceaccounts-token-audience"
AUDIENCE_PREFIXES = ("//iam.googleapis.com/projects/", "identitynamespace:")
# The audience of the component `spiffe`, by its exact name.
SIGNER_AUDIENCE = "podidentd-signer"
# What the signer may, which is no agent: ask whose token it was shown, decide requests of its own two names, read what they
# are compared with, hold one Lease, and publish its own authorities.
SIGNER = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"], "verbs": ["patch"]},
    {
        "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["sign"],
        "resourceNames": ["podidentd.io/spiffe", "podidentd.io/node-serving"],
    },
    {"apiGroups": ["certificates.k8s.io"], "resources": ["clustertrustbundles"], "verbs": ["get", "create", "patch"]},
    {
        "apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["attest"],
        "resourceNames": ["podidentd.io/spiffe", "podidentd.io/node-serving"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]},
    {
        "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"],
        "resourceNames": ["podidentd-trust-bundle"],
    },
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"],
        "resourceNames": ["podidentd-signer-leader"],
    },
]
# By which nodes name the signer for pods that have no volume of it, each by its exact name.
CERTIFICATE_VERB = "request-serviceaccounts-podcertificate-signer"
CERTIFICATE_SIGNERS = (["podidentd.io:spiffe"], ["podidentd.io:node-serving"])
# Of the token services of other clouds.
CLOUD_AUDIENCES = {"sts.amazonaws.com", "api://AzureADTokenExchange"}
# The annotations of ServiceAccounts, by name, for clusters whose nodes may not read them by themselves.
READ = {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]}
# The only right to change something, and the fence that must come with it.
FENCED = {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]}
FENCE = "podidentd-startup-taint"
ROLES = ("Role", "ClusterRole")
# Roles of the cluster that a binding may name. The one of OpenShift allows host directories, not API rights.
FOREIGN_ROLES = {"system:openshift:scc:privileged"}


def problems(documents):
    """Sentences about everything that is granted and must not be; none if all is well."""
    return [
        f"{document['kind']} {document['metadata']['name']}: {problem}"
        for document in flattened(documents)
        for problem in [*granted(document, documents), *bound(document, documents)]
    ]


def flattened(documents):
    """The objects, those inside of a List too."""
    for document in documents:
        if document.get("kind", "").endswith("List"):
            yield from flattened(document.get("items") or [])
        else:
            yield document


def granted(document, documents):
    if document["kind"] not in ROLES:
        return
    if document.get("aggregationRule"):
        yield "is aggregated from others, whose rules nobody can see here"
    for rule in document.get("rules") or []:
        # Names are compared as the API server does, but a difference in case is a mistake as well.
        resources = [resource.lower() for resource in rule.get("resources") or []]
        verbs = [verb.lower() for verb in rule.get("verbs") or []]
        groups = rule.get("apiGroups") or []
        everything = [*resources, *verbs, *groups, *(rule.get("nonResourceURLs") or []), *(rule.get("resourceNames") or [])]
        if any("*" in value for value in everything):
            yield f"grants by wildcard: {rule}"
        if any(resource.split("/")[0] == "secrets" for resource in resources):
            yield f"grants access to secrets: {rule}"
        if any(resource.startswith("serviceaccounts") for resource in resources) and rule != READ:
            yield f"grants a right to ServiceAccounts or their tokens: {rule}"
        if any(verb in ("impersonate", "bind", "escalate") for verb in verbs):
            yield f"grants a right to become somebody else: {rule}"
        if AUDIENCE_VERB in verbs:
            exact = all(
                resource.startswith(AUDIENCE_PREFIXES) or resource in CLOUD_AUDIENCES | {SIGNER_AUDIENCE}
                for resource in rule["resources"]
            )
            if verbs != [AUDIENCE_VERB] or groups != [""] or len(resources) != 1 or not exact:
                yield f"opens more than one exact audience: {rule}"
        elif CERTIFICATE_VERB in verbs:
            if verbs != [CERTIFICATE_VERB] or groups != ["certificates.k8s.io"] or resources not in CERTIFICATE_SIGNERS:
                yield f"opens more than one exact signer: {rule}"
        elif rule == READ or (rule in SIGNER and document["metadata"]["name"] == "podidentd-signer"):
            continue
        elif rule == FENCED:
            yield from unfenced(documents)
        else:
            yield f"grants what the agent does not need: {rule}"


def unfenced(documents):
    """Whether the right to change nodes stands without its policy."""
    kinds = {
        document["kind"]: document
        for document in flattened(documents)
        if document["metadata"]["name"] == FENCE
    }
    policy = kinds.get("ValidatingAdmissionPolicy")
    binding = kinds.get("ValidatingAdmissionPolicyBinding")
    if not policy or policy["spec"].get("failurePolicy") != "Fail" or len(policy["spec"].get("validations", [])) < 3:
        yield "may change nodes, and no policy narrows that"
        return
    if not binding or binding["spec"]["validationActions"] != ["Deny"] or binding["spec"]["policyName"] != FENCE:
        yield "may change nodes, and the policy that narrows it is not bound"
        return
    expressions = "".join(rule["expression"] for rule in policy["spec"]["validations"])
    if not all(f"object.{place}.all(k, " in expressions for place in ("metadata", "spec")):
        yield "may change nodes, and the policy that narrows it does not compare every field"
    (condition,) = policy["spec"]["matchConditions"]
    for account in (document for document in flattened(documents) if document["kind"] == "ServiceAccount"):
        name = f"system:serviceaccount:{account['metadata']['namespace']}:{account['metadata']['name']}"
        if condition["expression"] != f"request.userInfo.username == '{name}'":
            yield f"the policy that narrows it is about somebody else than {name}"


def bound(document, documents):
    if document["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
        return
    reference = document["roleRef"]
    own = any(
        role["kind"] == reference["kind"] and role["metadata"]["name"] == reference["name"]
        for role in flattened(documents)
        if role["kind"] in ROLES
    )
    if not own and not (document["kind"] == "RoleBinding" and reference["name"] in FOREIGN_ROLES):
        yield f"binds a role that is not among these objects: {reference['name']}"
    for subject in document.get("subjects") or []:
        nodes = subject["kind"] == "Group" and subject["name"] == "system:nodes"
        agent = subject["kind"] == "ServiceAccount" and subject.get("namespace") == "podidentd"
        signer = subject["kind"] == "ServiceAccount" and subject.get("namespace") == "podidentd-signer"
        if not nodes and not agent and not (signer and reference["name"] == "podidentd-signer"):
            yield f"gives rights to somebody else: {subject}"
