"""Evaluates a ValidatingAdmissionPolicy as an API server does, with the CEL library that Google maintains."""
from cel_expr_python import cel

VARIABLES = {name: cel.Type.DYN for name in ("object", "oldObject", "request")}


def request(operation, resource, document, group="", namespace=None):
    """What an API server shows a policy of one request. For a Namespace the request's own namespace is its name."""
    metadata = document["metadata"]
    return {
        "request": {
            "operation": operation,
            "resource": {"group": group, "version": "v1", "resource": resource},
            "name": metadata.get("name", ""),
            "namespace": namespace or metadata.get("namespace", metadata["name"]),
        },
        "object": document,
        "oldObject": None,
    }


def matches(policy, values):
    """Whether one of the policy's rules is for this operation on this resource."""
    asked = values["request"]
    return any(
        asked["resource"]["group"] in rule["apiGroups"]
        and asked["resource"]["version"] in rule["apiVersions"]
        and asked["resource"]["resource"] in rule["resources"]
        and asked["operation"] in rule["operations"]
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
    )


def evaluate(expression, values):
    return cel.NewEnv(variables=VARIABLES).compile(expression).eval(data=values).value()


def refusals(policy, values):
    """The messages of the validations that refuse the request."""
    if not matches(policy, values):
        return []
    conditions = policy["spec"].get("matchConditions", [])
    if not all(evaluate(condition["expression"], values) for condition in conditions):
        return []
    return [
        validation["message"] for validation in policy["spec"]["validations"]
        if evaluate(validation["expression"], values) is not True
    ]
