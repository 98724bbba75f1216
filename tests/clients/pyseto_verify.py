"""pyseto verifies access tokens, one a line, with nothing but what GET /keys gives, which is on the first line."""

import json
import sys

import pyseto

keys = {key["kid"]: pyseto.Key.from_paserk(key["paserk"]) for key in json.loads(sys.stdin.readline())["keys"]}
issuer = sys.argv[1]
count = 0
used = set()
for line in sys.stdin:
    token = line.strip()
    # The footer says which key; PASETO leaves it to the application to read that before anything is verified.
    kid = json.loads(pyseto.utils.base64url_decode(token.split(".")[3]))["kid"]
    verified = pyseto.decode(keys[kid], token, deserializer=json, aud=issuer)
    assert verified.payload["iss"] == issuer, verified.payload
    assert verified.footer == {"kid": kid}, verified.footer
    used.add(kid)
    count += 1
for kid, key in keys.items():
    assert key.to_paserk_id() == kid
print(count, len(used))
