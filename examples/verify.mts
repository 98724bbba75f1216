// Another service checks shild's access tokens itself, with nothing but the public keys: node verify.mts ISSUER AUDIENCE < tokens.
//
// It knows nothing of sessions: one that has been ended is good here until its token expires (setting access_token_ttl).
// Needs paseto-ts.

import { readFileSync } from 'node:fs'
import { verify } from 'paseto-ts/v4'

type Key = { kid: string; paserk: string }
const [issuer, audience] = process.argv.slice(2)
const { keys } = (await (await fetch(`${issuer}/keys`)).json()) as { keys: Key[] }

function check(token: string) {
  const { kid } = JSON.parse(Buffer.from(token.split('.')[3], 'base64url').toString())
  const key = keys.find((key) => key.kid === kid)
  if (!key) throw new Error('no such key')
  const { payload } = verify(key.paserk, token) // exp, nbf and iat are checked
  if (payload.iss !== issuer || payload.aud !== audience) throw new Error('another issuer or audience')
  return payload
}

for (const token of readFileSync(0, 'utf8').trim().split('\n')) {
  try {
    const { sub, scope } = check(token)
    console.log(sub, JSON.stringify(scope))
  } catch (error) {
    console.log(`refused: ${error}`)
  }
}
