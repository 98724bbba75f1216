"""Register, sign in, who am I, refresh, sign out: with what openapi-python-client makes of the document."""

import sys

from shild_client import AuthenticatedClient, Client
from shild_client.api.sign_up_sign_in import issue_token, register
from shild_client.api.your_account import list_sessions, logout, read_current_user
from shild_client.models import Problem, Registration, SessionPage, Token, TokenRequest, TokenRequestGrantType, User

PASSWORD = "violet-harbour-5-quilt"
NAME = "openapi-python-client"


def main(url: str) -> None:
    client = Client(base_url=url)
    wanted = Registration(username=NAME, password=PASSWORD)

    user = register.sync(client=client, body=wanted)
    assert isinstance(user, User) and user.username == NAME, user

    taken = register.sync(client=client, body=wanted)
    assert isinstance(taken, Problem) and taken.status == 409, taken

    form = TokenRequest(grant_type=TokenRequestGrantType.PASSWORD, username=NAME, password=PASSWORD)
    token = issue_token.sync(client=client, body=form)
    assert isinstance(token, Token), token

    me = read_current_user.sync(client=AuthenticatedClient(base_url=url, token=token.access_token))
    assert isinstance(me, User) and me.id == user.id, me

    form = TokenRequest(grant_type=TokenRequestGrantType.REFRESH_TOKEN, refresh_token=token.refresh_token)
    token = issue_token.sync(client=client, body=form)
    assert isinstance(token, Token), token

    signed_in = AuthenticatedClient(base_url=url, token=token.access_token)
    sessions = list_sessions.sync(client=signed_in, limit=10)
    assert isinstance(sessions, SessionPage) and [session.current for session in sessions.items] == [True], sessions

    assert logout.sync_detailed(client=signed_in).status_code == 204
    refused = read_current_user.sync(client=signed_in)
    assert isinstance(refused, Problem) and refused.status == 401, refused


main(sys.argv[1])
print("ok")
