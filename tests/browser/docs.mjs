// The docs page: press Authorize, sign in, call /user/me, see the name. It asks no other host for anything.

import assert from 'node:assert/strict'
import { PASSWORD, given, open, origin, register } from './lib.mjs'

await register('juliet')
const browser = await open({ viewport: { width: 1100, height: 860 } })
const { page } = browser
await page.goto(`${origin}/docs`)
await page.getByRole('button', { name: 'Authorize', exact: true }).first().click()
const dialog = page.locator('.modal-ux')
await dialog.getByLabel('username').fill('juliet')
await dialog.getByLabel('password').fill(PASSWORD)
await dialog.locator('button.authorize').click()
await dialog.getByText('Logout', { exact: true }).waitFor()
await dialog.locator('button.btn-done').click()
const operation = page.locator('[id$=read_current_user]').first()
await operation.getByRole('button').first().click()
await operation.getByRole('button', { name: 'Try it out' }).click()
await operation.getByRole('button', { name: 'Execute' }).click()
const answer = operation.locator('.live-responses-table')
await answer.getByText('"juliet"').waitFor()
assert.equal(await answer.locator('.response-col_status').nth(1).textContent().then((text) => text.trim().slice(0, 3)), '200')
const [pictures] = given
if (pictures) {
  await operation.evaluate((element) => element.scrollIntoView())
  await page.mouse.move(0, 0)
  await page.screenshot({ path: `${pictures}/docs.png` })
}
await browser.close()
