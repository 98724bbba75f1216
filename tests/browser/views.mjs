// Each view, light and dark, wide and on the smallest phone: axe finds no fault with it, nothing is wider than the screen,
// and nothing moves while it comes up.

import assert from 'node:assert/strict'
import { at, axe, fill, follow, open, origin, press, register, signIn, tokens } from './lib.mjs'

const longest = 'w'.repeat(64)
await register(longest)
await register('romeo')
await tokens('nurse', { 'User-Agent': 'W'.repeat(256) })
await tokens('romeo', { 'User-Agent': 'W'.repeat(256) })

const browser = await open({ viewport: { width: 1100, height: 760 } })
const { context, page } = browser
await context.addInitScript(() => {
  window.moved = 0
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value
  }).observe({ type: 'layout-shift', buffered: true })
})

async function look(what) {
  await axe(page, what)
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' })
  await axe(page, `${what}, dark`, ['color-contrast'])
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
  await page.setViewportSize({ width: 320, height: 568 })
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
  assert(wide <= screen, `${what} is ${wide} wide on a screen of ${screen}`)
  await page.setViewportSize({ width: 1100, height: 760 })
}

await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' })
await page.goto(origin)
await at(page, 'Sign in')
assert.equal(await page.evaluate(() => window.moved), 0)
await look('sign in')
await follow(page, 'Make an account')
await at(page, 'Make an account')
await fill(page, { Username: 'foo bar', Password: 'x' })
await press(page, 'Make the account')
await page.locator('.fault').first().waitFor()
await look('register')
await follow(page, 'I have an account already')
await follow(page, 'Set a new password with a reset token')
await at(page, 'Set a new password')
await look('reset')
await follow(page, 'Back to sign in')
await signIn(page, 'nurse', 'wrong')
await page.getByRole('alert').waitFor()
await look('sign in, refused')
await signIn(page, 'nurse')
await at(page, 'nurse')
await look('account')
await press(page, 'Delete my account…')
await look('dialog')
await press(page, 'Cancel')
for (const [link, heading] of [['Sessions', 'Sessions'], ['Users', 'Users'], ['New user', 'New user'], ['Audit log', 'Audit log']]) {
  await follow(page, link)
  await at(page, heading)
  await look(link)
}
for (const name of [longest, 'romeo']) {
  await follow(page, 'Users')
  await at(page, 'Users')
  await page.getByRole('link', { name: new RegExp(name) }).click()
  await at(page, name)
  await press(page, 'Start a reset')
  await page.locator('#given-token').waitFor()
  await press(page, 'Disable')
  await page.getByRole('button', { name: 'Enable' }).waitFor()
  await look(`user ${name}`)
}
await follow(page, 'Users')
await at(page, 'Users')
await look('users, one disabled')
await page.reload()
await at(page, 'Users')
assert.equal(await page.evaluate(() => window.moved), 0)
await browser.close()
