// oauth4webapi finds the server by its metadata, and drives every OAuth endpoint.

import assert from 'node:assert/strict'
import * as oauth from 'oauth4webapi'

const [url, username, password, introspector] = process.argv.slice(2)
const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(url)
const client = { client_id: 'balcony' }
const auth = oauth.None()

const as = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
)

async function signIn(username) {
  const parameters = { username, password }
  const response = await oauth.genericTokenEndpointRequest(as, client, auth, 'password', parameters, insecure)
  return oauth.processGenericTokenEndpointResponse(as, client, response)
}

const tokens = await signIn(username)
assert.equal(tokens.token_type, 'bearer')
const me = await oauth.protectedResourceRequest(
  tokens.access_token, 'GET', new URL('/user/me', url), undefined, undefined, insecure,
)
assert.equal((await me.json()).username, username)

const caller = await signIn(introspector)
// The metadata says that callers of the introspection endpoint show a bearer token.
assert.deepEqual(as.introspection_endpoint_auth_methods_supported, ['Bearer'])
const bearer = (_as, _client, _body, headers) => headers.set('authorization', `Bearer ${caller.access_token}`)
async function introspect(token) {
  const response = await oauth.introspectionRequest(as, client, bearer, token, insecure)
  return oauth.processIntrospectionResponse(as, client, response)
}
const active = await introspect(tokens.access_token)
assert.equal(active.active, true)
assert.equal(active.username, username)
assert.equal(active.client_id, 'balcony')
assert.equal(active.iss, as.issuer)

const refreshed = await oauth.processRefreshTokenResponse(
  as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure),
)
assert.notEqual(refreshed.refresh_token, tokens.refresh_token)

await oauth.processRevocationResponse(
  await oauth.revocationRequest(as, client, auth, refreshed.refresh_token, insecure),
)
assert.deepEqual(await introspect(refreshed.access_token), { active: false })

// Errors are those that it knows.
const again = await oauth.refreshTokenGrantRequest(as, client, auth, refreshed.refresh_token, insecure)
await assert.rejects(oauth.processRefreshTokenResponse(as, client, again), { error: 'invalid_grant', status: 400 })
await assert.rejects(
  oauth
    .protectedResourceRequest(
      refreshed.access_token, 'GET', new URL('/user/me', url), undefined, undefined, insecure,
    ),
  (error) => {
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError)
    assert.equal(error.cause[0].scheme, 'bearer')
    assert.equal(error.cause[0].parameters.error, 'invalid_token')
    return true
  },
)
console.log('ok')
