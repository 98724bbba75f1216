// What all of these programs share: a browser that is watched, and steps that people take.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const require = createRequire(join(process.env.SHILD_BROWSER, 'package.json'))
const { chromium } = require('playwright-core')
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')

export const PASSWORD = 'violet-harbour-5-quilt'
export const OTHER_PASSWORD = 'lantern over 9 bridges'

/** The address of the server, and what else is on the command line. */
export const [origin, ...given] = process.argv.slice(2)

/** Chromium with a profile of its own, that finds no host but this one. */
export async function open(options = {}) {
  const browser = await chromium.launch({
    executablePath: process.env.SHILD_CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  })
  const faults = []
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'UTC', ...options })
  // A bound for what never comes, on a machine that is busy.
  context.setDefaultTimeout(60_000)
  context.on('request', (request) => {
    const url = new URL(request.url())
    if (url.protocol !== 'data:' && url.hostname !== '127.0.0.1') faults.push(`asks ${url}`)
  })
  context.on('console', (message) => {
    // Chromium reports every answer of 400 and above; that there are some is the very matter of many tests.
    const refused = /^Failed to load resource: the server responded with a status of 4\d\d/.test(message.text())
    if (['error', 'warning'].includes(message.type()) && !refused) faults.push(`console: ${message.text()}`)
  })
  context.on('weberror', (error) => faults.push(`uncaught: ${error.error()}`))
  await context.exposeBinding('report', (_, text) => faults.push(text))
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => window.report(`policy: ${event.violatedDirective} ${event.blockedURI}`))
  })
  return {
    context,
    page: await context.newPage(),
    faults,
    /** Ends well only if nothing went wrong on the way. */
    async close() {
      await browser.close()
      assert.deepEqual(faults, [])
      console.log('ok')
    },
  }
}

/** The field with this label that is to be seen: views that are not shown have fields of the same name. */
export const field = (page, label) =>
  page.getByLabel(label, { exact: true }).and(page.locator('input, select')).filter({ visible: true })

export async function fill(page, fields) {
  for (const [label, text] of Object.entries(fields)) await field(page, label).fill(text)
}

export const press = (page, name) => page.getByRole('button', { name, exact: true }).click()
export const follow = (page, name) => page.getByRole('link', { name, exact: true }).first().click()

/** Waits until this view is there. */
export const at = (page, heading) => page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor()

/** Waits until the page has said this where a screen reader hears it. */
export const said = (page, text) => page.getByRole('status').filter({ hasText: text }).waitFor()

/** Waits until a field is described with this fault. */
export async function fault(page, label, text) {
  await page.locator('.fault').filter({ hasText: text }).waitFor()
  assert.equal(await field(page, label).getAttribute('aria-invalid'), 'true')
  const ids = (await field(page, label).getAttribute('aria-describedby')).split(' ')
  const texts = await Promise.all(ids.map((id) => page.locator(`#${id}`).textContent()))
  assert(texts.join(' ').includes(text), texts.join(' '))
}

export async function signIn(page, username, password = PASSWORD) {
  await fill(page, { Username: username, Password: password })
  await press(page, 'Sign in')
}

export async function signOut(page) {
  await press(page, 'Sign out')
  await at(page, 'Sign in')
}

/** A request of some other client of the same server. */
export async function request(path, { method = 'GET', token, json, form, headers = {} } = {}) {
  const response = await fetch(origin + path, {
    method,
    headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }), ...(json && { 'Content-Type': 'application/json' }) },
    body: json ? JSON.stringify(json) : form && new URLSearchParams(form),
  })
  const text = await response.text()
  return { status: response.status, body: text && JSON.parse(text) }
}

export const register = (username) => request('/register', { method: 'POST', json: { username, password: PASSWORD } })

/** The tokens of a sign-in of some other client. */
export async function tokens(username, headers = {}) {
  const form = { grant_type: 'password', username, password: PASSWORD }
  const { status, body } = await request('/shild', { method: 'POST', form, headers })
  assert.equal(status, 200)
  return body
}

/** Everything that axe finds fault with, or only what these rules do. */
export async function axe(page, what, rules) {
  // Not by an element, which the policy of the page would keep out.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axeSource)
  const options = { resultTypes: ['violations'], ...(rules ? { runOnly: rules } : { rules: { 'target-size': { enabled: true } } }) }
  const { violations } = await page.evaluate((options) => window.axe.run(document, options), options)
  const lines = violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${what}: ${id}: ${html}\n${failureSummary}`))
  assert.deepEqual(lines, [])
}
