// paseto-ts verifies access tokens, one a line, with nothing but what GET /keys gives, which is on the first line.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { verify } from 'paseto-ts/v4'

const [first, ...tokens] = readFileSync(0, 'utf8').trim().split('\n')
const keys = new Map(JSON.parse(first).keys.map(({ kid, paserk }) => [kid, paserk]))
const issuer = process.argv[2]
const used = new Set()
for (const token of tokens) {
  const { kid } = JSON.parse(Buffer.from(token.split('.')[3], 'base64url'))
  const { payload, footer } = verify(keys.get(kid), token)
  assert.equal(payload.iss, issuer)
  assert.deepEqual(footer, { kid })
  used.add(kid)
}
console.log(`${tokens.length} ${used.size}`)
