// The pictures of the README, written into the directory given.

import { at, follow, given, open, origin, register, request, signIn, tokens } from './lib.mjs'

const [directory] = given
const names = ['juliet', 'romeo', 'benvolio', 'tybalt', 'mercutio', 'rosaline', 'balthasar']
for (const name of names) await register(name)
const admin = await tokens('nurse', { 'User-Agent': 'curl/8.5.0' })
const change = async (name, json) => {
  const { body } = await request(`/users?username_prefix=${name}`, { token: admin.access_token })
  await request(`/users/${body.items[0].id}`, { method: 'PATCH', token: admin.access_token, json })
}
await change('mercutio', { scopes: ['user', 'introspect'] })
await change('tybalt', { disabled: true })
await tokens('juliet', { 'User-Agent': 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0' })
const phone = 'Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36'

const SHOTS = [
  { name: 'sign-in', colorScheme: 'light', width: 1040, height: 650 },
  { name: 'users', colorScheme: 'light', width: 1040, height: 650, who: 'nurse', link: 'Users' },
  { name: 'account-dark', colorScheme: 'dark', width: 1040, height: 650, who: 'juliet' },
  { name: 'phone', colorScheme: 'light', width: 360, height: 600, who: 'juliet', link: 'Sessions', userAgent: phone },
]
for (const { name, colorScheme, width, height, who, link, userAgent } of SHOTS) {
  const browser = await open({ colorScheme, userAgent, viewport: { width, height }, deviceScaleFactor: 1.5, reducedMotion: 'reduce' })
  const { page } = browser
  await page.goto(origin)
  await at(page, 'Sign in')
  if (who) {
    await signIn(page, who)
    await at(page, who)
  }
  if (link) {
    await follow(page, link)
    await at(page, link)
  }
  // No pointer and no ring in the picture.
  await page.mouse.move(0, 0)
  await page.evaluate(() => document.activeElement.blur())
  await page.screenshot({ path: `${directory}/${name}.png` })
  await browser.close()
}
