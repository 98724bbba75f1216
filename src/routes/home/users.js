// Everybody's accounts, for administrators.

import { call } from './api.js';
import { portray, scopesOf, sessionRow } from './account.js';
import { arms } from './arms.js';
import { askFirst, clear, empty, find, list, make, moment, onPress, onSubmit, query, say, sayProblem, time } from './page.js';

const view = find('#user');
const search = find('#users form');
let user = null;

const users = list(find('#users'), (user) => {
  const link = make('a', { href: `#/users/${user.id}` }, arms(user.id), make('span', { class: 'title' }, user.username));
  if (user.disabled) link.append(make('span', { class: 'badge off' }, 'disabled'));
  link.append(scopesOf(user), make('span', { class: 'facts' }, time(user.created_at)));
  return make('li', { class: 'whole' }, link);
});

export const showUsers = () =>
  users.show((after) => call(query('users', { after, username_prefix: search.elements.username_prefix.value })));

const sessions = list(view, (session) => sessionRow(session));

async function showUser(found) {
  user = found;
  portray(view, user);
  find('[data-id]', view).textContent = user.id;
  find('[data-audit]', view).href = `#/audit/${user.id}`;
  find('#scopes').value = user.scopes.join(' ');
  clear(find('#change-scopes'));
  find('#toggle').textContent = user.disabled ? 'Enable' : 'Disable';
  find('[data-access]', view).textContent = user.disabled
    ? 'Disabled: this user cannot sign in.'
    : 'Disabling ends all sessions and keeps this user from signing in. Deleting is for good.';
  await sessions.show((after) => call(query(`users/${user.id}/sessions`, { after })));
  find('#end-sessions').hidden = sessions.count() === 0;
}

/** The page of the user with this id. */
export async function showOne(id) {
  hideToken();
  await showUser(await call(`users/${id}`));
}

/** A token that has been shown is not shown again. */
export function hideToken() {
  find('#given-token').value = '';
  find('#user .token').hidden = true;
}

export function showNew() {
  empty(find('#new-user form'));
}

const words = (text) => text.split(/\s+/).filter(Boolean);
const path = (rest = '') => `users/${user.id}${rest}`;
const change = async (json) => showUser(await call(path(), { method: 'PATCH', json, version: user.version }));

export function administration() {
  let typing;
  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => showUsers().then(() => say(`${users.count()} shown.`)).catch(sayProblem), 200);
  });
  onSubmit(search, showUsers);

  onSubmit(find('#new-user form'), async ({ username, scopes }) => {
    const made = await call('users', { method: 'POST', json: { username, scopes: words(scopes) } });
    location.hash = `#/users/${made.id}`;
    say(`${made.username} has been created. Start a reset to let them set a password.`);
  });

  onSubmit(find('#change-scopes'), async ({ scopes }) => {
    await change({ scopes: words(scopes) });
    say(`The scopes of ${user.username} are changed.`);
  });

  onPress(find('#start-reset'), async () => {
    const { reset_token, expires_at } = await call(path('/password-reset'), { method: 'POST' });
    find('#given-token').value = reset_token;
    find('[data-until]', view).textContent = moment(expires_at);
    find('#user .token').hidden = false;
    find('#given-token').focus();
    find('#given-token').select();
    // The reset is a change of the user.
    user = await call(path());
  });

  onPress(find('#copy-token'), async () => {
    const input = find('#given-token');
    try {
      await navigator.clipboard.writeText(input.value);
      say('Copied.');
    } catch {
      // Not on plain HTTP from another host.
      input.select();
      say('The browser does not let this page copy; the token is selected.');
    }
  });

  onPress(find('#end-sessions'), async () => {
    await call(path('/sessions'), { method: 'DELETE' });
    await showUser(await call(path()));
    find('#user-title').focus();
    say(`All sessions of ${user.username} have ended.`);
  });

  onPress(find('#toggle'), async () => {
    await change({ disabled: !user.disabled });
    say(user.disabled ? `${user.username} is disabled.` : `${user.username} may sign in again.`);
  });

  find('#delete-user').addEventListener('click', () => {
    const { username } = user;
    const text = 'The account and its sessions will be gone at once, and nobody can bring them back.';
    askFirst({ title: `Delete ${username}?`, text, yes: 'Delete for good' }, async () => {
      await call(path(), { method: 'DELETE', version: user.version });
      location.hash = '#/users';
      say(`${username} has been deleted.`);
    });
  });
}
