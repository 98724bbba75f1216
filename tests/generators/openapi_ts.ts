// Register, sign in, who am I, refresh, sign out: with what @hey-api/openapi-ts makes of the document.

import { createClient } from './client/client';
import { issueToken, listSessions, logout, readCurrentUser, register } from './client';
import type { Token } from './client';

const NAME = 'openapi-ts';
const PASSWORD = 'violet-harbour-5-quilt';

function holds(condition: boolean, what: unknown): asserts condition {
  if (!condition) throw new Error(JSON.stringify(what));
}

async function main(baseUrl: string): Promise<void> {
  const anonymous = createClient({ baseUrl });
  const signedIn = (token: Token) => createClient({ baseUrl, auth: token.access_token });
  const body = { username: NAME, password: PASSWORD };

  const user = await register({ client: anonymous, body });
  holds(user.data?.username === NAME, user.error);

  const taken = await register({ client: anonymous, body });
  holds(taken.error?.status === 409 && taken.error.errors?.[0]?.code === 'taken', taken.error);

  const first = await issueToken({ client: anonymous, body: { grant_type: 'password', ...body } });
  holds(first.data !== undefined, first.error);

  const me = await readCurrentUser({ client: signedIn(first.data) });
  holds(me.data?.id === user.data.id, me.error);

  const refresh = { grant_type: 'refresh_token' as const, refresh_token: first.data.refresh_token };
  const second = await issueToken({ client: anonymous, body: refresh });
  holds(second.data !== undefined, second.error);

  const sessions = await listSessions({ client: signedIn(second.data), query: { limit: 10 } });
  holds(sessions.data?.items[0]?.current === true, sessions.error);

  const out = await logout({ client: signedIn(second.data) });
  holds(out.response?.status === 204, out.error);
  const refused = await readCurrentUser({ client: signedIn(second.data) });
  holds(refused.error?.status === 401, refused.error);
}

main(process.argv[2] ?? '').then(
  () => console.log('ok'),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
