// Everything that an administrator can do on the account page.

import assert from 'node:assert/strict'
import { OTHER_PASSWORD, PASSWORD, at, fault, field, fill, follow, open, origin, press, register, request, said, signIn, signOut, tokens } from './lib.mjs'

// More than one page of users.
for (let count = 0; count < 60; count += 1) await register(`crowd${count}`)
await register('romeo')

const browser = await open({ permissions: ['clipboard-read', 'clipboard-write'] })
const { page } = browser
const users = page.locator('#users li')
const events = page.locator('#audit li')
await page.goto(`${origin}/#/users`)
await at(page, 'Sign in')
await signIn(page, 'nurse')
await at(page, 'nurse')

// The list, its pages and its search.
await follow(page, 'Users')
await at(page, 'Users')
assert.equal(await users.count(), 50)
await press(page, 'Show more')
await page.waitForFunction(() => document.querySelectorAll('#users li').length === 62)
assert.equal(await page.evaluate(() => document.activeElement.closest('li') === document.querySelectorAll('#users li')[50]), true)
await fill(page, { 'Username begins with': 'crowd5' })
await page.waitForFunction(() => document.querySelectorAll('#users li').length === 11)
await said(page, '11 shown.')
await fill(page, { 'Username begins with': 'nobody' })
await page.getByText('Nobody’s username begins like that.').waitFor()
await fill(page, { 'Username begins with': 'rom' })
await page.waitForFunction(() => document.querySelectorAll('#users li').length === 1)

// Create: without a password, to be entered by a reset.
await follow(page, 'New user')
await at(page, 'New user')
await fill(page, { Username: 'romeo', Scopes: 'user "' })
await press(page, 'Create the user')
await fault(page, 'Scopes', 'printable ASCII')
await fill(page, { Scopes: ' user  cats ' })
await press(page, 'Create the user')
await fault(page, 'Username', 'Username is taken')
await fill(page, { Username: 'balthasar' })
await press(page, 'Create the user')
await at(page, 'balthasar')
await said(page, 'balthasar has been created.')
await page.getByText('Signed in nowhere.').waitFor()
const path = `/users/${new URL(page.url()).hash.split('/').pop()}`
const admin = await tokens('nurse')
const stored = async () => (await request(path, { token: admin.access_token })).body
assert.deepEqual((await stored()).scopes, ['cats', 'user'])

// Reset: the token is shown once, and works.
await press(page, 'Start a reset')
const token = field(page, 'Reset token, shown only now')
await token.waitFor()
const resetToken = await token.inputValue()
assert.match(resetToken, /^shp_/)
await press(page, 'Copy')
await said(page, 'Copied.')
assert.equal(await page.evaluate(() => navigator.clipboard.readText()), resetToken)
await page.goBack()
await page.goForward()
await at(page, 'balthasar')
await token.waitFor({ state: 'hidden' })
assert(!(await page.content()).includes(resetToken))
const reset = await request('/password-reset', { method: 'POST', json: { reset_token: resetToken, new_password: OTHER_PASSWORD } })
assert.equal(reset.status, 204)

// Scopes: what was changed by another administrator meanwhile is not overwritten.
await follow(page, 'Users')
await at(page, 'Users')
await fill(page, { 'Username begins with': 'bal' })
await page.getByRole('link', { name: /balthasar/ }).click()
await at(page, 'balthasar')
await request(path, { method: 'PATCH', token: admin.access_token, json: { scopes: ['user'] } })
const scopes = field(page, 'Scopes, with spaces between them')
await scopes.fill('user cats dogs')
await press(page, 'Change the scopes')
await page.getByRole('alert').filter({ hasText: 'in the meantime' }).waitFor()
assert.deepEqual((await stored()).scopes, ['user'])
await page.reload()
await at(page, 'balthasar')
await scopes.fill('user dogs')
await press(page, 'Change the scopes')
await said(page, 'The scopes of balthasar are changed.')
assert.deepEqual((await stored()).scopes, ['dogs', 'user'])

// Sessions and access.
const form = { grant_type: 'password', username: 'balthasar', password: OTHER_PASSWORD }
const signInAs = async () => (await request('/shild', { method: 'POST', form })).body.access_token
const first = await signInAs()
await page.reload()
await at(page, 'balthasar')
assert.equal(await page.locator('#user li').count(), 1)
await press(page, 'End all sessions')
await said(page, 'All sessions of balthasar have ended.')
assert.equal((await request('/user/me', { token: first })).status, 401)
const second = await signInAs()
await press(page, 'Disable')
await said(page, 'balthasar is disabled.')
assert.equal((await request('/user/me', { token: second })).status, 401)
assert.equal((await stored()).disabled, true)
await press(page, 'Enable')
await said(page, 'balthasar may sign in again.')
assert.equal((await stored()).disabled, false)

// The audit log: of one user, of everybody, of a kind.
await follow(page, 'Audit log of this user')
await at(page, 'Audit log')
await page.getByText('Only balthasar').waitFor()
await events.filter({ hasText: 'Enabled: balthasar' }).filter({ hasText: 'by nurse' }).waitFor()
assert.equal(await events.filter({ hasNotText: 'balthasar' }).count(), 0)
await follow(page, 'Everybody')
await page.getByText('Only balthasar').waitFor({ state: 'hidden' })
await page.waitForFunction(() => document.querySelectorAll('#audit li').length === 25)
await press(page, 'Show more')
await page.waitForFunction(() => document.querySelectorAll('#audit li').length === 50)
await field(page, 'Kind of event').selectOption('disabled')
await page.waitForFunction(() => document.querySelectorAll('#audit li').length === 1)
await field(page, 'Kind of event').selectOption('keys_rotated')
await page.getByText('Nothing of the kind has happened.').waitFor()

// Delete, after a question; events of a user that is gone can still be read.
await page.goto(`${origin}/#${path}`)
await at(page, 'balthasar')
await press(page, 'Delete this user…')
await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
assert.equal((await stored()).username, 'balthasar')
await press(page, 'Delete this user…')
await page.getByRole('dialog').getByRole('button', { name: 'Delete for good' }).click()
await at(page, 'Users')
await said(page, 'balthasar has been deleted.')
await follow(page, 'Audit log')
await at(page, 'Audit log')
await field(page, 'Kind of event').selectOption('deleted')
await events.filter({ hasText: 'Deleted: a deleted user' }).waitFor()

// The last administrator stays: refused, and said why.
await follow(page, 'Account')
await at(page, 'nurse')
await press(page, 'Delete my account…')
await page.getByLabel('Your password', { exact: true }).fill(PASSWORD)
await press(page, 'Delete it for good')
await page.getByRole('alert').filter({ hasText: 'last enabled user with the scope admin' }).waitFor()
await press(page, 'Cancel')
const sessions = await request('/user/me/sessions', { token: admin.access_token })
assert.equal(sessions.body.items.length, 2, 'the sign-in that was made for it has been ended')
await signOut(page)

// Whoever lacks the scope `user` is shown what there is all the same, and can sign out.
for (const [username, scopes, heading] of [['warden', ['admin'], 'Users'], ['robot', ['cats'], 'Nothing to do here']]) {
  await request('/users', { method: 'POST', token: admin.access_token, json: { username, password: PASSWORD, scopes } })
  await signIn(page, username)
  await at(page, heading)
  await page.reload()
  await at(page, heading)
  await signOut(page)
}

await browser.close()
