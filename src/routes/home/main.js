// Which view is shown: the part of the address after the # says so, so that back, reload and bookmarks do what they should.

import { account, showAccount, showSessions } from './account.js';
import { Problem, events, forget, granted, resume, signOut } from './api.js';
import { audit, showAudit } from './audit.js';
import { entrance } from './entrance.js';
import { find, say, sayProblem, wipe } from './page.js';
import { administration, hideToken, showNew, showOne, showUsers } from './users.js';

/** Address, view, the scope that it needs (`null`: nobody signed in), and what fills it. */
const ROUTES = [
  [/^#\/sign-in$/, 'sign-in', null],
  [/^#\/register$/, 'register', null],
  [/^#\/reset$/, 'reset', null],
  [/^#\/account$/, 'account', 'user', showAccount],
  [/^#\/sessions$/, 'sessions', 'user', showSessions],
  [/^#\/users$/, 'users', 'admin', showUsers],
  [/^#\/users\/new$/, 'new-user', 'admin', showNew],
  [/^#\/users\/([0-9a-f-]{36})$/, 'user', 'admin', showOne],
  [/^#\/audit$/, 'audit', 'admin', () => showAudit()],
  [/^#\/audit\/([0-9a-f-]{36})$/, 'audit', 'admin', showAudit],
];

let shown = null;
let turn = 0;

/** Where somebody with these scopes begins. */
function home() {
  const scopes = granted();
  if (!scopes) return '#/sign-in';
  if (scopes.includes('user')) return '#/account';
  return scopes.includes('admin') ? '#/users' : '#/nothing';
}

function allowed([, view, scope]) {
  if (view === 'register' && document.body.dataset.registration === 'closed') return false;
  return scope === null ? !granted() : granted()?.includes(scope);
}

/** Shows what the address asks for, if it may be shown. */
async function follow({ focus = true } = {}) {
  const mine = (turn += 1);
  const hash = location.hash;
  const route = ROUTES.find(([pattern]) => pattern.test(hash));
  if (!route || !allowed(route)) {
    if (granted() && home() === '#/nothing') return reveal('nothing', focus);
    history.replaceState(null, '', home());
    return follow({ focus });
  }
  const [pattern, view, , fill] = route;
  hideToken();
  try {
    await fill?.(...pattern.exec(hash).slice(1));
  } catch (problem) {
    if (mine !== turn || problem.kind === 'ended') return;
    if (!(problem instanceof Problem)) throw problem;
    if (shown) return sayProblem(problem);
    return fail(problem);
  }
  if (mine === turn) reveal(view, focus);
}

function reveal(view, focus) {
  const signedIn = granted() !== null;
  for (const section of document.querySelectorAll('main > section')) section.hidden = section.id !== view;
  find('.bar').hidden = !signedIn;
  find('.crest').hidden = signedIn;
  find('footer').hidden = false;
  document.body.classList.toggle('outside', !signedIn);
  for (const item of document.querySelectorAll('nav [data-needs]')) {
    item.hidden = !granted()?.includes(item.dataset.needs);
    const link = find('a', item);
    if (location.hash.startsWith(link.hash)) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const section = find(`#${view}`);
  const heading = find('h1', section);
  document.title = `${heading.textContent} · shild`;
  if (focus) ((!signedIn && find('input', section)) || heading).focus();
  if (shown !== view) scrollTo(0, 0);
  shown = view;
}

function fail(problem) {
  find('#trouble [data-text]').textContent = problem.message;
  reveal('trouble', true);
}

async function start() {
  try {
    await resume();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.kind !== 'ended') return fail(problem);
  }
  await follow({ focus: !granted() });
}

function leave(text) {
  forget();
  hideToken();
  wipe();
  location.hash = '#/sign-in';
  say(text);
}

entrance(async () => {
  history.replaceState(null, '', home());
  await follow();
});
account(() => leave('Your account has been deleted.'));
administration();
audit();

find('#trouble button').addEventListener('click', start);
find('#sign-out').addEventListener('click', async () => {
  const ended = signOut();
  leave('You are signed out.');
  // The session goes on at the server if it did not hear of this.
  await ended.catch((problem) => say(`You are signed out here only. ${problem.message}`));
});
events.addEventListener('ended', () => leave('Your session has ended. Sign in again.'));
// The link past the navigation is no address of a view.
addEventListener('hashchange', () => location.hash === '#main' || follow());

await start();
