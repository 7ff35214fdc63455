#!/bin/bash
# cel-python makes "True" of CEL's true, and drops the fraction of every time that it writes.
#
# Versions: cel-python 0.5.0, cel-expr-python 0.1.3 (Google's runtime in C++) (PyPI).
# Expected: one result of a standard expression, whichever library evaluates it: CEL's literal is `true`; string(timestamp) keeps the
#           fraction (conformance test toString_timestamp_nanos); getMilliseconds of a duration is 0 to 999 (CEL language definition,
#           standard definitions); NaN equals nothing (IEEE 754, to which the definition refers).
# Seen:     nine expressions compile in both, and none raises; their results differ. string(true) is "True" in cel-python,
#           string(duration("0.5s")) is "0s", getMilliseconds of 123.3 s is 123300, and two timestamps within a microsecond are equal.
# So what:  an attribute mapping of Google's workload identity federation, such as
#           attribute.verified = string(assertion.email_verified), that was tried out with cel-python makes another principalSet://
#           at Google; a Kubernetes validation rule that was tested so differs as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cel-python==0.5.0 cel-expr-python==0.1.3
cat > "$folder/ask.py" <<'PY'
import celpy
from cel_expr_python import cel

CLAIMS = {"sub": "pod", "email_verified": True, "groups": ["a", "b"]}
EXPRESSIONS = """
assertion.sub + "/" + assertion.groups[1]
timestamp("2026-01-04T00:00:00Z").getDayOfWeek()
string(assertion.email_verified)
string(assertion.email_verified) == "true"
string(duration("0.5s"))
string(timestamp("2026-01-01T00:00:00.5Z"))
string(timestamp("2026-01-01T05:30:00+05:30"))
duration("123.3s").getMilliseconds()
timestamp("2026-01-01T00:00:00Z") < timestamp("2026-01-01T00:00:00.000000001Z")
duration("1ns") > duration("0s")
0.0 / 0.0 == 0.0 / 0.0
""".strip().splitlines()
python, google = celpy.Environment(), cel.NewEnv(variables={"assertion": cel.Type.DYN})
for expression in EXPRESSIONS:
    one = python.program(python.compile(expression)).evaluate({"assertion": celpy.json_to_cel(CLAIMS)})
    other = google.compile(expression).eval(data={"assertion": CLAIMS}).plain_value()
    one = bool(one) if isinstance(one, celpy.celtypes.BoolType) else one
    print(f"{expression}: {one}" if str(one) == str(other) else f"{expression}: {one}, Google {other}")
PY
seen=$(env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/ask.py")
echo "$seen"
[ "$seen" = 'assertion.sub + "/" + assertion.groups[1]: pod/b
timestamp("2026-01-04T00:00:00Z").getDayOfWeek(): 0
string(assertion.email_verified): True, Google true
string(assertion.email_verified) == "true": False, Google True
string(duration("0.5s")): 0s, Google 0.500s
string(timestamp("2026-01-01T00:00:00.5Z")): 2026-01-01T00:00:00Z, Google 2026-01-01T00:00:00.500Z
string(timestamp("2026-01-01T05:30:00+05:30")): 2026-01-01T05:30:00+05:30, Google 2026-01-01T00:00:00Z
duration("123.3s").getMilliseconds(): 123300, Google 300
timestamp("2026-01-01T00:00:00Z") < timestamp("2026-01-01T00:00:00.000000001Z"): False, Google True
duration("1ns") > duration("0s"): False, Google True
0.0 / 0.0 == 0.0 / 0.0: True, Google False' ]
