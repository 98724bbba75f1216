"""requests-oauthlib signs in, lets its token be refreshed by itself, and signs out."""

import sys
import time

from oauthlib.oauth2 import LegacyApplicationClient
from requests_oauthlib import OAuth2Session

url, username, password = sys.argv[1:]
token_url = f"{url}/shild"
saved = []

session = OAuth2Session(
    client=LegacyApplicationClient(client_id="balcony"),
    auto_refresh_url=token_url,
    auto_refresh_kwargs={"client_id": "balcony"},
    token_updater=saved.append,
)
first = session.fetch_token(token_url, username=username, password=password, scope=["user"])
assert first["token_type"] == "Bearer" and first["scope"] == ["user"]

me = session.get(f"{url}/user/me")
assert me.status_code == 200 and me.json()["username"] == username, me.text
assert not saved

# As if a long time had gone by: the next request refreshes first.
session.token = {**first, "expires_at": time.time() - 1}
me = session.get(f"{url}/user/me")
assert me.status_code == 200, me.text
assert len(saved) == 1 and saved[0]["refresh_token"] != first["refresh_token"], saved

# By hand, too.
third = session.refresh_token(token_url, client_id="balcony")
assert third["refresh_token"] != saved[0]["refresh_token"]

revoked = session.post(f"{url}/revoke", data={"token": third["refresh_token"]}, withhold_token=True)
assert revoked.status_code == 200, revoked.text
assert session.get(f"{url}/user/me").status_code == 401
print("ok")
