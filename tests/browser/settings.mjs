// Another token endpoint, registration closed, and a proxy that puts all of it below a path of its own.

import assert from 'node:assert/strict'
import http from 'node:http'
import { at, follow, open, origin, signIn } from './lib.mjs'

const BASE = '/id'
const proxy = http.createServer((incoming, outgoing) => {
  if (!incoming.url.startsWith(`${BASE}/`)) return outgoing.writeHead(404).end()
  const { method, headers } = incoming
  const onward = http.request(origin + incoming.url.slice(BASE.length), { method, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers)
    answer.pipe(outgoing)
  })
  incoming.pipe(onward)
})
await new Promise((listening) => proxy.listen(0, '127.0.0.1', listening))

const browser = await open()
const { context, page } = browser
const paths = []
context.on('request', (request) => paths.push(new URL(request.url()).pathname))
for (const base of [origin, `http://127.0.0.1:${proxy.address().port}${BASE}`]) {
  await page.goto(`${base}/#/register`)
  await at(page, 'Sign in')
  await page.getByText('Accounts are made by an administrator here.').waitFor()
  assert.equal(await page.getByRole('link', { name: 'Make an account' }).count(), 0)
  await signIn(page, 'nurse')
  await at(page, 'nurse')
  await page.reload()
  await at(page, 'nurse')
  await follow(page, 'Users')
  await at(page, 'Users')
  await follow(page, 'For developers: the API')
  await page.locator('.swagger-ui .info').waitFor()
  assert(page.url().startsWith(`${base}/docs`))
}
assert(paths.includes('/oauth/token') && paths.includes(`${BASE}/oauth/token`))
proxy.close()
proxy.closeAllConnections()
await browser.close()
