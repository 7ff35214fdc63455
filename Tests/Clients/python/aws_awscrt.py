"""awscrt (aws-c-auth): the default credential chain, and requests that it signs: a listing and an object."""

import importlib.metadata
import os
import re
import urllib.request

from awscrt import auth, http, io

group = io.EventLoopGroup(1)
bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
provider = auth.AwsCredentialsProvider.new_default_chain(bootstrap)
endpoint, bucket = os.environ["STORAGE_ENDPOINT"], os.environ["STORAGE_BUCKET"]


def read(path):
    host = endpoint.removeprefix("http://")
    request = http.HttpRequest("GET", path, http.HttpHeaders([("Host", host)]))
    signing = auth.AwsSigningConfig(
        algorithm=auth.AwsSigningAlgorithm.V4, signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=provider, region="eu-west-1", service="s3", use_double_uri_encode=False,
        signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256)
    signed = auth.aws_sign_request(request, signing).result(10)
    plain = urllib.request.Request(endpoint + path, headers=dict(signed.headers))
    with urllib.request.urlopen(plain, timeout=10) as answer:
        return answer.read().decode()


print("version", "awscrt", importlib.metadata.version("awscrt"))
print("credential", provider.get_credentials().result(10).access_key_id)
print("listing", re.search("<Key>(.*?)</Key>", read(f"/{bucket}?list-type=2"))[1])
print("object", read(f"/{bucket}/greeting.txt"))
