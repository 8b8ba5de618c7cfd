"""Serve one bucket over TLS to one user; tells that user's keys as a line of JSON."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

PORT = 9000
USER = "keeper"
ALLOWED = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


def client(service: str, authority: str) -> Any:
    """A client of this very server."""
    return boto3.client(
        service,
        endpoint_url=f"https://localhost:{PORT}",
        verify=authority,
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
    )


def set_up(bucket: str, authority: str) -> dict[str, str]:
    """Make the user and the bucket; the user's key."""
    users = client("iam", authority)
    users.create_user(UserName=USER)
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALLOWED]})
    users.put_user_policy(UserName=USER, PolicyName="bucket", PolicyDocument=document)
    made = users.create_access_key(UserName=USER)["AccessKey"]
    client("s3", authority).create_bucket(Bucket=bucket)
    return {"access": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def main() -> None:
    """Serve until killed."""
    given = {}
    for name in ("authority", "certificate", "key"):
        given[name] = f"/tmp/{name}"
        Path(given[name]).write_text(os.environ[name.upper()])
    application = DomainDispatcherApplication(create_backend_app)
    pair = (given["certificate"], given["key"])
    server = make_server("0.0.0.0", PORT, application, threaded=True, ssl_context=pair)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    print(json.dumps(set_up(os.environ["BUCKET"], given["authority"])), flush=True)
    serving.join()


main()
