// The audit log, for administrators.

import { call } from './api.js';
import { arms } from './arms.js';
import { find, line, list, make, onSubmit, query, sayProblem, time } from './page.js';

const view = find('#audit');
const form = find('form', view);

/** Names by id: events have ids, which stay the same when names change. */
const names = new Map();

function nameOf(id) {
  if (!names.has(id)) {
    const gone = (problem) => {
      if (problem.kind !== 'not-found') throw problem;
      return null;
    };
    names.set(id, call(`users/${id}`).then((user) => user.username, gone));
  }
  return names.get(id);
}

async function link(id) {
  const name = await nameOf(id);
  return name === null ? make('span', { title: id }, 'a deleted user') : make('a', { href: `#/users/${id}` }, name);
}

const capital = (word) => word.replaceAll('_', ' ').replace(/^./, (first) => first.toUpperCase());

async function by(event) {
  if (event.actor.user === event.user_id) return null;
  const span = make('span', {}, 'by ');
  const nobody = { anonymous: 'somebody not signed in', operator: 'the command line', system: 'the program itself' };
  span.append(event.actor.user ? await link(event.actor.user) : nobody[event.actor] ?? String(event.actor));
  return span;
}

const log = list(view, async (event) => {
  const title = make('p', { class: 'title' }, capital(event.kind));
  if (event.user_id) title.append(': ', await link(event.user_id));
  const facts = make('p', { class: 'facts' }, ...line(time(event.at), await by(event), event.ip, event.detail));
  const mark = event.user_id ? arms(event.user_id) : make('span', { class: 'arms' });
  return make('li', {}, mark, make('div', {}, title, facts));
});

let only = null;

const refill = () => log.show((after) => call(query('audit', { after, limit: '25', kind: form.elements.kind.value, user_id: only })));

/** All events, or those about one user. */
export async function showAudit(id = null) {
  only = id;
  names.clear();
  find('.only', view).hidden = id === null;
  if (id) find('[data-only]', view).textContent = (await nameOf(id)) ?? `a deleted user (${id})`;
  await refill();
}

export function audit() {
  onSubmit(form, refill);
  form.elements.kind.addEventListener('change', () => refill().catch(sayProblem));
}
