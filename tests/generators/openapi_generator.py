"""Register, sign in, who am I, refresh, sign out: with what openapi-generator makes of the document."""

import sys

from pydantic import SecretStr
from shild_client import ApiClient, Configuration, Problem, Registration, SignUpSignInApi, YourAccountApi
from shild_client.exceptions import ConflictException, UnauthorizedException

PASSWORD = "violet-harbour-5-quilt"
NAME = "openapi-generator"


def main(url: str) -> None:
    sign_in = SignUpSignInApi(ApiClient(Configuration(host=url)))
    wanted = Registration(username=NAME, password=SecretStr(PASSWORD))

    user = sign_in.register(wanted)
    assert user.username == NAME, user

    try:
        sign_in.register(wanted)
    except ConflictException as taken:
        assert isinstance(taken.data, Problem) and taken.data.status == 409, taken.data
    else:
        raise AssertionError("a name was given twice")

    token = sign_in.issue_token("password", username=NAME, password=PASSWORD)
    account = YourAccountApi(ApiClient(Configuration(host=url, access_token=token.access_token)))
    assert account.read_current_user().id == user.id

    token = sign_in.issue_token("refresh_token", refresh_token=token.refresh_token)
    account = YourAccountApi(ApiClient(Configuration(host=url, access_token=token.access_token)))
    assert [session.current for session in account.list_sessions(limit=10).items] == [True]

    account.logout()
    try:
        account.read_current_user()
    except UnauthorizedException as refused:
        assert isinstance(refused.data, Problem) and refused.data.status == 401, refused.data
    else:
        raise AssertionError("a token of a session that has ended was accepted")


main(sys.argv[1])
print("ok")
