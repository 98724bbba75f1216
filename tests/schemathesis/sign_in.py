"""How Schemathesis signs in.

Each request gets a token of a sign-in of its own: the requests before it may have ended every session there was, changed the
scopes of whoever made them, or deleted the account. `SHILD_DATA` is the server's data directory, where the server leaves the
credentials of the command line; with them an account is made when the last one has gone.
"""

import itertools
import json
import os
import pathlib
import urllib.error
import urllib.parse
import urllib.request

import schemathesis

import hooks  # noqa: F401

PASSWORD = "violet-harbour-5-quilt"
NAMES = (f"schemathesis-{number}" for number in itertools.count())

credentials = json.loads((pathlib.Path(os.environ["SHILD_DATA"]) / "operator.json").read_text())
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(path, body, headers):
    request = urllib.request.Request(credentials["address"] + path, body, headers)
    with direct.open(request, timeout=30) as response:
        return json.load(response)


def create(name):
    body = json.dumps({"username": name, "password": PASSWORD, "scopes": ["user", "admin"]}).encode()
    headers = {"Authorization": f"Bearer {credentials['token']}", "Content-Type": "application/json"}
    post("/users", body, headers)


def sign_in(name):
    form = {"grant_type": "password", "username": name, "password": PASSWORD, "scope": "user admin"}
    return post("/shild", urllib.parse.urlencode(form).encode(), {})["access_token"]


@schemathesis.auth(refresh_interval=None)
class SignIn:
    name = None

    def get(self, case, context):
        if self.name is not None:
            try:
                return sign_in(self.name)
            except urllib.error.HTTPError:
                pass
        self.name = next(NAMES)
        create(self.name)
        return sign_in(self.name)

    def set(self, case, data, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"
