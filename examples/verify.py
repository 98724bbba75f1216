"""Another service checks shild's access tokens itself, with nothing but the public keys: verify.py ISSUER AUDIENCE < tokens.

It knows nothing of sessions: one that has been ended is good here until its token expires (setting access_token_ttl).
Needs pyseto.
"""

import json
import sys
import urllib.request

import pyseto

issuer, audience = sys.argv[1:]
keys = {key["kid"]: pyseto.Key.from_paserk(key["paserk"]) for key in json.load(urllib.request.urlopen(f"{issuer}/keys"))["keys"]}


def verify(token):
    kid = json.loads(pyseto.utils.base64url_decode(token.split(".")[3]))["kid"]
    claims = pyseto.decode(keys[kid], token, deserializer=json, aud=audience).payload  # exp, nbf and iat are checked
    if claims["iss"] != issuer:
        raise ValueError("another issuer")
    return claims


for line in sys.stdin:
    try:
        claims = verify(line.strip())
        print(claims["sub"], json.dumps(claims["scope"]))
    except (KeyError, IndexError, ValueError, pyseto.PysetoError) as error:
        print(f"refused: {error!r}")
