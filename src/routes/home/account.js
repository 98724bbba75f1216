// One's own account and sessions.

import { call, callAnew, forget } from './api.js';
import { arms } from './arms.js';
import { askFirst, empty, find, line, list, make, onPress, onSubmit, query, say, time } from './page.js';

const view = find('#account');
let me = null;

/** The name, arms and facts of a user, at the head of a view. */
export function portray(root, user) {
  find('[data-name]', root).textContent = user.username;
  find('[data-arms]', root).replaceChildren(arms(user.id));
  find('[data-facts]', root).replaceChildren(
    ...line(scopesOf(user), user.disabled ? make('strong', { class: 'off' }, 'disabled') : null, made(user)),
  );
}

/** The scopes of a user, each set apart. */
export const scopesOf = (user) =>
  make('span', { class: 'scopes' }, ...(user.scopes.length ? user.scopes.map((scope) => make('span', {}, scope)) : ['no scopes']));

function made(user) {
  const span = make('span', {}, 'made ');
  span.append(time(user.created_at));
  return span;
}

function showMe(user) {
  me = user;
  portray(view, user);
  find('#change-password').elements.username.value = user.username;
}

export async function showAccount() {
  find('[data-arms]', view).replaceChildren();
  [find('#rename'), find('#change-password')].forEach(empty);
  showMe(await call('user/me'));
}

/** Somebody's session in words: what kind of browser, as far as it can be told from what it said of itself. */
function device(session) {
  const agent = session.user_agent ?? '';
  const first = (pairs) => pairs.find(([pattern]) => pattern.test(agent))?.[1];
  const browser = first([[/Edg\//, 'Edge'], [/OPR\//, 'Opera'], [/Firefox\//, 'Firefox'], [/Chrom(e|ium)\//, 'Chromium'], [/Safari\//, 'Safari']]);
  const system = first([[/Android/, 'Android'], [/iPhone|iPad/, 'iOS'], [/Windows/, 'Windows'], [/Mac OS X/, 'macOS'], [/Linux/, 'Linux']]);
  if (browser && system) return `${browser} on ${system}`;
  return agent || 'A program that did not say what it is';
}

/** A row of a list of sessions; `end`, if it can be ended from here. */
export function sessionRow(session, end = null) {
  const name = device(session);
  const about = (text, when) => {
    const span = make('span', {}, `${text} `);
    span.append(time(when));
    return span;
  };
  const row = make('li', {});
  const title = make('p', { class: 'title' }, name);
  if (session.current) title.append(' ', make('span', { class: 'badge' }, 'this one'));
  const facts = make('p', { class: 'facts' }, ...line(session.client_id, session.ip, about('last used', session.last_used_at), about('ends', session.expires_at)));
  row.append(make('div', {}, title, facts));
  if (end && !session.current) {
    const button = make('button', { type: 'button', 'aria-label': `End the session: ${name}` }, 'End');
    onPress(button, async () => {
      await end(session);
      const beside = row.nextElementSibling ?? row.previousElementSibling;
      (beside?.querySelector('button') ?? find('#sessions-title')).focus();
      row.remove();
      say('The session has been ended.');
    });
    row.append(button);
  }
  return row;
}

const sessions = list(find('#sessions'), (session) =>
  sessionRow(session, ({ id }) => call(`user/me/sessions/${id}`, { method: 'DELETE' })),
);

export const showSessions = () => sessions.show((after) => call(query('user/me/sessions', { after })));

/** `left` is called when the account is no more. */
export function account(left) {
  onSubmit(find('#rename'), async ({ username }) => {
    showMe(await call('user/me', { method: 'PATCH', json: { username }, version: me.version }));
    empty(find('#rename'));
    find('#change-password').elements.username.value = me.username;
    say(`You are ${me.username} from now on.`);
  });

  onSubmit(find('#change-password'), async ({ current_password, new_password }) => {
    await call('user/me/password', { method: 'POST', json: { current_password, new_password } });
    empty(find('#change-password'));
    showMe(await call('user/me'));
    say('Your password is changed, and all your other sessions have ended.');
  });

  find('#delete-account').addEventListener('click', () => {
    const text = `${me.username} and all its sessions will be gone at once. To be sure that it is you, sign in once more.`;
    askFirst({ title: 'Delete your account?', text, yes: 'Delete it for good', username: me.username }, async ({ password }) => {
      await callAnew(me.username, password, 'user/me', { method: 'DELETE' });
      forget();
      left();
    });
  });

  onPress(find('#end-others'), async () => {
    await call('user/me/sessions', { method: 'DELETE' });
    await showSessions();
    say('All your other sessions have ended.');
  });
}
