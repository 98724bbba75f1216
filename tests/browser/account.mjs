// Everything that a user can do on the account page.

import assert from 'node:assert/strict'
import { OTHER_PASSWORD, PASSWORD, at, fault, field, fill, follow, given, open, origin, press, register, request, said, signIn, signOut, tokens } from './lib.mjs'

const [resetToken] = given
const browser = await open()
const { page } = browser
const rows = page.locator('#sessions li')

// Register: what the server says against it stands at the field.
await register('romeo')
await page.goto(origin)
await at(page, 'Sign in')
await follow(page, 'Make an account')
await at(page, 'Make an account')
await fill(page, { Username: 'foo bar', Password: 'password' })
await press(page, 'Make the account')
await fault(page, 'Username', 'spaces and symbols are not.')
assert.equal(await field(page, 'Username').evaluate((input) => input === document.activeElement), true)
await fill(page, { Username: 'ROMEO' })
await press(page, 'Make the account')
await fault(page, 'Password', 'The password is too easy to guess.')
await fill(page, { Password: PASSWORD })
await press(page, 'Make the account')
await fault(page, 'Username', 'Username is taken; choose another.')
await fill(page, { Username: 'juliet' })
await press(page, 'Make the account')
await at(page, 'juliet')
await said(page, 'Your account has been made')
assert.equal(await page.title(), 'juliet · shild')
assert.equal(await page.getByRole('link', { name: 'Users' }).count(), 0, 'she is no administrator')

// A reload signs nobody out, and neither do many requests with a token that has expired or never was.
await page.reload()
await at(page, 'juliet')
await signOut(page)
assert.equal(await page.evaluate(() => sessionStorage.getItem('shild.refresh_token')), null)
assert(!(await page.content()).includes('juliet'), 'nothing of her stays in the page')
await signIn(page, 'juliet', 'wrong')
await page.getByRole('alert').filter({ hasText: 'check the username and the password' }).waitFor()
await signIn(page, 'juliet')
await at(page, 'juliet')

// Rename.
await fill(page, { 'New username': 'romeo' })
await press(page, 'Change the username')
await fault(page, 'New username', 'New username is taken; choose another.')
await fill(page, { 'New username': 'rosaline' })
await press(page, 'Change the username')
await at(page, 'rosaline')
await said(page, 'You are rosaline from now on.')

// Change the password: it ends the other sessions.
const elsewhere = await tokens('rosaline')
await fill(page, { 'Current password': 'not it', 'New password': OTHER_PASSWORD })
await press(page, 'Change the password')
await fault(page, 'Current password', 'Current password is not the current password.')
await fill(page, { 'Current password': PASSWORD, 'New password': 'rosaline' })
await press(page, 'Change the password')
await fault(page, 'New password', 'The password is too easy to guess.')
await fill(page, { 'New password': OTHER_PASSWORD })
await press(page, 'Change the password')
await said(page, 'Your password is changed')
assert.equal((await request('/user/me', { token: elsewhere.access_token })).status, 401)
assert.equal(await field(page, 'New password').inputValue(), '', 'no password stays in a field')
await fill(page, { 'Current password': OTHER_PASSWORD, 'New password': PASSWORD })
await press(page, 'Change the password')
await page.waitForFunction(() => document.querySelector('#new-password').value === '')

// See sessions, end one, end all others.
const others = [await tokens('rosaline'), await tokens('rosaline'), await tokens('rosaline')]
await follow(page, 'Sessions')
await at(page, 'Sessions')
assert.equal(await rows.count(), 4)
assert.equal(await rows.filter({ hasText: 'this one' }).getByRole('button').count(), 0, 'the current one ends by signing out')
await rows.filter({ has: page.getByRole('button') }).first().getByRole('button').click()
await said(page, 'The session has been ended.')
assert.equal(await rows.count(), 3)
const alive = await Promise.all(others.map(({ access_token }) => request('/user/me', { token: access_token })))
assert.deepEqual(alive.map(({ status }) => status).sort(), [200, 200, 401])
await press(page, 'End all others')
await said(page, 'All your other sessions have ended.')
await page.waitForFunction(() => document.querySelectorAll('#sessions li').length === 1)

// Set a new password with a reset token, which somebody else has been given.
await signOut(page)
await follow(page, 'Set a new password with a reset token')
await at(page, 'Set a new password')
await fill(page, { 'Reset token': 'shp_nonsense', 'New password': PASSWORD })
await press(page, 'Set the password')
await fault(page, 'Reset token', 'is not valid')
await fill(page, { 'Reset token': ` ${resetToken} `, 'New password': OTHER_PASSWORD })
await press(page, 'Set the password')
await at(page, 'Sign in')
await said(page, 'Your new password is set.')
await signIn(page, 'locked-out', OTHER_PASSWORD)
await at(page, 'locked-out')

// Delete: only with the password once more, and no session stays behind when it is refused.
await press(page, 'Delete my account…')
const dialog = page.getByRole('dialog')
await dialog.getByLabel('Your password', { exact: true }).fill('not it')
await dialog.getByRole('button', { name: 'Delete it for good' }).click()
await dialog.getByRole('alert').waitFor()
await page.keyboard.press('Escape')
await dialog.waitFor({ state: 'hidden' })
await press(page, 'Delete my account…')
assert.equal(await dialog.getByLabel('Your password', { exact: true }).inputValue(), '')
await dialog.getByLabel('Your password', { exact: true }).fill(OTHER_PASSWORD)
await dialog.getByRole('button', { name: 'Delete it for good' }).click()
await at(page, 'Sign in')
await said(page, 'Your account has been deleted.')
await signIn(page, 'locked-out', OTHER_PASSWORD)
await page.getByRole('alert').waitFor()

// A session that somebody ends elsewhere: the next press leads to signing in.
await signIn(page, 'rosaline')
await at(page, 'rosaline')
const elsewhereAgain = await tokens('rosaline')
await request('/user/me/sessions', { method: 'DELETE', token: elsewhereAgain.access_token })
await follow(page, 'Sessions')
await at(page, 'Sign in')
await said(page, 'Your session has ended. Sign in again.')

await browser.close()
