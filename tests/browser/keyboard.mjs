// Register, sign in and sign out with Tab and Enter alone.

import assert from 'node:assert/strict'
import { PASSWORD, at, open, origin, said } from './lib.mjs'

const browser = await open()
const { page } = browser
const { keyboard } = page

/** Goes on with Tab until the focus is on what has this name, at most once around. */
async function tabTo(name) {
  const names = []
  for (let count = 0; count < 30; count += 1) {
    const focused = await page.evaluate(() => {
      const element = document.activeElement
      const label = element.getAttribute('aria-label') ?? element.labels?.[0]?.textContent ?? element.textContent
      const { outlineStyle, outlineWidth } = getComputedStyle(element)
      return { name: label.trim(), seen: outlineStyle !== 'none' && outlineWidth !== '0px' }
    })
    if (focused.name === name) return assert(focused.seen, `${name} does not show that it has the focus`)
    names.push(focused.name.slice(0, 20))
    await keyboard.press('Tab')
  }
  assert.fail(`${name} cannot be reached: ${names}`)
}

const enter = async (name) => {
  await tabTo(name)
  await keyboard.press('Enter')
}
const type = async (name, text) => {
  await tabTo(name)
  await keyboard.type(text)
}

await page.goto(origin)
await at(page, 'Sign in')
await enter('Make an account')
await at(page, 'Make an account')
await type('Username', 'juliet')
await type('Password', PASSWORD)
await enter('Make the account')
await at(page, 'juliet')
// Whoever listens is taken to the heading of what has come, and can pass over the navigation.
assert.equal(await page.evaluate(() => document.activeElement.id), 'account-title')
await enter('Skip to the content')
assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
await enter('Sign out')
await at(page, 'Sign in')
await said(page, 'You are signed out.')
await type('Username', 'juliet')
await type('Password', PASSWORD)
await keyboard.press('Enter')
await at(page, 'juliet')
await enter('Sessions')
await at(page, 'Sessions')
await enter('Account')
await at(page, 'juliet')

// A dialog keeps the focus, lets go at Escape, and gives it back.
await enter('Delete my account…')
await page.getByRole('dialog').waitFor()
assert.equal(await page.evaluate(() => document.activeElement.id), 'ask-password')
await keyboard.press('Escape')
assert.equal(await page.evaluate(() => document.activeElement.id), 'delete-account')
await enter('Sign out')
await at(page, 'Sign in')
await browser.close()
