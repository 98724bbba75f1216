// What others write is text, and a copied tab costs nobody the session.

import assert from 'node:assert/strict'
import { PASSWORD, at, follow, open, origin, press, request, said, signIn, tokens } from './lib.mjs'

const MARKUP = '<img src=x onerror=report(`ran`)><script>report(`ran`)</script>'
const mine = await tokens('nurse', { 'User-Agent': MARKUP })
// The freest text that an administrator can give to a user, and that a client can give itself.
const scope = '<img/src=x/onerror=report(1)>'
const { body: user } = await request('/users', { method: 'POST', token: mine.access_token, json: { username: "o'brien", scopes: ['user', scope] } })
await request('/shild', { method: 'POST', form: { grant_type: 'password', username: 'nurse', password: PASSWORD, client_id: MARKUP } })

const browser = await open()
const { context, page, faults } = browser
const intact = async () => {
  assert.equal(await page.evaluate(() => document.querySelectorAll('main img, main script').length), 0)
  assert.deepEqual(faults, [])
}
await page.goto(origin)
await signIn(page, 'nurse')
await at(page, 'nurse')
await follow(page, 'Sessions')
await at(page, 'Sessions')
assert.equal(await page.getByText(MARKUP, { exact: true }).count(), 1)
assert.equal(await page.getByText(MARKUP).count(), 2)
await intact()
await follow(page, 'Users')
await at(page, 'Users')
await page.getByText(scope, { exact: true }).waitFor()
await page.goto(`${origin}/#/users/${user.id}`)
await at(page, user.username)
await intact()
await follow(page, 'Audit log of this user')
await at(page, 'Audit log')
await page.locator('#audit li').filter({ hasText: scope }).waitFor()
await intact()

// Addresses that somebody else has made up lead nowhere else.
for (const hash of ['#/users/<img src=x>', '#/users/../audit', '#//evil.example']) {
  await page.goto(`${origin}/${hash}`)
  await page.waitForURL(`${origin}/#/account`)
  await intact()
}
await page.goto(`${origin}/#/users/00000000-0000-0000-0000-000000000000`)
await said(page, 'There is no such user.')

// Were some script to write markup, the policy would stop it.
const refused = await page.evaluate(() => {
  try {
    document.createElement('p').innerHTML = '<b>x</b>'
    return 'written'
  } catch (error) {
    return error.name
  }
})
assert.equal(refused, 'TypeError')
// That was on purpose, and has been reported as it should.
while (faults.length < 2) await page.waitForTimeout(20)
assert.deepEqual(faults.splice(0).map((text) => text.slice(0, 7)).sort(), ['console', 'policy:'])

// T15: a duplicate of the tab has the same refresh token. It starts signed out, and the session of the first goes on.
await page.goto(`${origin}/#/account`)
await at(page, 'nurse')
const kept = await page.evaluate(() => ({ ...sessionStorage }))
assert.deepEqual(Object.keys(kept).sort(), ['shild.refresh_token', 'shild.tab'])
const copy = await context.newPage()
await copy.addInitScript((kept) => Object.assign(sessionStorage, kept), kept)
await copy.goto(origin)
await at(copy, 'Sign in')
await copy.close()
await page.reload()
await at(page, 'nurse')

// Parallel requests with a token that is not good any more lead to one renewal.
const renewals = []
page.on('request', (request) => request.url().endsWith('/shild') && renewals.push(request.postData()))
await context.route('**/user/me', async (route) => {
  const headers = { ...route.request().headers(), authorization: 'Bearer v4.public.stale' }
  await (renewals.length ? route.continue() : route.continue({ headers }))
})
await page.evaluate(async () => {
  const { call } = await import('./account/api.js')
  await Promise.all([call('user/me'), call('user/me'), call('user/me')])
})
assert.equal(renewals.length, 1)

// A server that cannot be reached is said so, and signs nobody out.
await context.unroute('**/user/me')
await context.route('**/shild', (route) => route.abort())
await page.reload()
await at(page, 'Not possible at this moment')
await context.unroute('**/shild')
await press(page, 'Try again')
await at(page, 'nurse')
// Chromium reports the request that was cut off.
assert.deepEqual(faults.splice(0), ['console: Failed to load resource: net::ERR_FAILED'])
await browser.close()
