// What all views are made with. Text reaches the page as text only: nothing here reads markup.

import { Problem } from './api.js';

export const find = (selector, root = document) => root.querySelector(selector);

/** An element; strings among the children become text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

let silence;

/** Says what has come of something, to eyes and ears; for a while. */
export function say(text) {
  const said = find('.said');
  clearTimeout(silence);
  said.textContent = text;
  silence = setTimeout(() => (said.textContent = ''), 6000);
}

/** Says what went wrong. That the session has ended is said where one signs in. */
export function sayProblem(problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.kind !== 'ended') say(problem.message);
}

/** Does something at a press; once at a time. */
export function onPress(button, work) {
  button.addEventListener('click', () => busy(button, work).catch(sayProblem));
}

/** Does something with the fields of a form; what the server refuses is said at the field that it names. */
export function onSubmit(form, work) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    clear(form);
    busy(form, () => work(Object.fromEntries(new FormData(form)))).catch((problem) => show(form, problem));
  });
  for (const input of form.querySelectorAll('input[type=password]')) input.after(revealer(input));
}

async function busy(element, work) {
  if (element.getAttribute('aria-busy') === 'true') return;
  element.setAttribute('aria-busy', 'true');
  try {
    await work();
  } finally {
    element.removeAttribute('aria-busy');
  }
}

/** Nothing of whoever was signed in stays in the page. */
export function wipe() {
  const shown = '[data-rows], [data-name], [data-facts], [data-arms], [data-id], [data-only], [data-until]';
  document.querySelectorAll(shown).forEach((element) => element.replaceChildren());
  document.querySelectorAll('main form').forEach(empty);
  find('#ask').close();
}

/** Takes away what was said of its fields. */
export function clear(form) {
  form.querySelectorAll('.fault').forEach((fault) => fault.remove());
  for (const input of form.querySelectorAll('[aria-invalid]')) {
    input.removeAttribute('aria-invalid');
    describe(input, (ids) => ids.filter((id) => !id.endsWith('-fault')));
  }
}

/** Empties the fields of a form, and hides a password that was shown. */
export function empty(form) {
  clear(form);
  form.reset();
  form.querySelectorAll('.reveal[aria-pressed=true]').forEach((button) => button.click());
}

function describe(input, change) {
  const ids = change((input.getAttribute('aria-describedby') ?? '').split(' ').filter(Boolean));
  if (ids.length) input.setAttribute('aria-describedby', ids.join(' '));
  else input.removeAttribute('aria-describedby');
}

function show(form, problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.kind === 'ended') return;
  const unplaced = [];
  let first = null;
  for (const { pointer, detail } of problem.faults) {
    const input = form.elements[pointer.split('/')[1] ?? ''];
    if (!input?.labels?.length) {
      unplaced.push(detail);
      continue;
    }
    const id = `${input.id}-fault`;
    input.setAttribute('aria-invalid', 'true');
    describe(input, (ids) => [...ids, id]);
    input.closest('.field').append(make('p', { class: 'fault', id }, spoken(input.labels[0].textContent, detail)));
    first ??= input;
  }
  if (!first) {
    const text = unplaced.length ? unplaced.map((detail) => spoken('This', detail)).join(' ') : problem.message;
    form.prepend(make('p', { class: 'fault', role: 'alert' }, text));
  }
  first?.focus();
}

/** "is taken; choose another" → "Username is taken; choose another."; "the password …" → "The password …." */
function spoken(label, detail) {
  const text = /^(the|an?) /.test(detail) ? detail[0].toUpperCase() + detail.slice(1) : `${label} ${detail}`;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Shows and hides what has been typed. */
function revealer(input) {
  const label = input.labels[0].textContent.toLowerCase();
  const button = make('button', { type: 'button', class: 'reveal', 'aria-pressed': 'false', 'aria-label': `Show ${label}` }, 'Show');
  button.addEventListener('click', () => {
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    button.setAttribute('aria-pressed', String(shown));
    button.textContent = shown ? 'Hide' : 'Show';
  });
  return button;
}

const absolute = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const UNITS = [['day', 86_400], ['hour', 3600], ['minute', 60]];

/** A point in time in words. */
export const moment = (text) => absolute.format(new Date(text));

/** A point in time: close ones by their distance. */
export function time(text) {
  const date = new Date(text);
  const seconds = (date - Date.now()) / 1000;
  const unit = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  const far = Math.abs(seconds) >= 7 * 86_400;
  const words = far ? moment(text) : unit ? relative.format(Math.round(seconds / unit[1]), unit[0]) : 'just now';
  return make('time', { datetime: text, title: moment(text) }, words);
}

/** Parts of a line with dots between them; what is null is left out. */
export function line(...parts) {
  return parts.filter((part) => part !== null).flatMap((part, index) => (index ? [' · ', part] : [part]));
}

/**
 * A list that comes in pages. `root` has an element `data-rows`, and may have `data-none`, shown while there are none, and
 * `data-more`, a button for the next page. `load` gets the cursor, `row` makes an `li`, perhaps only after another request.
 */
export function list(root, row) {
  const [rows, none, more] = ['rows', 'none', 'more'].map((name) => find(`[data-${name}]`, root));
  let asked = 0;
  let load = null;
  let next = null;

  async function page(first) {
    const mine = (asked += 1);
    const found = await load(first ? null : next);
    const made = await Promise.all(found.items.map(row));
    // Whoever types fast has asked again already.
    if (mine !== asked) return [];
    next = found.next;
    if (first) rows.replaceChildren();
    rows.append(...made);
    if (none) none.hidden = rows.childElementCount > 0;
    if (more) more.hidden = next === null;
    return made;
  }

  more?.addEventListener('click', () =>
    busy(more, async () => {
      const made = await page(false);
      find('a, button', made[0] ?? rows)?.focus();
      say(`${made.length} more.`);
    }).catch(sayProblem),
  );
  return {
    show: (how) => {
      load = how;
      return page(true);
    },
    count: () => rows.childElementCount,
  };
}

/** The query of a page of a list. */
export function query(path, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

/** Asks before what cannot be undone; `work` gets what was typed, and what it is refused is said in the dialog. */
export function askFirst({ title, text, yes, username = null }, work) {
  const dialog = find('#ask');
  const form = find('form', dialog);
  find('#ask-title').textContent = title;
  find('[data-text]', dialog).textContent = text;
  find('[data-yes]', dialog).textContent = yes;
  find('[data-password]', dialog).hidden = username === null;
  empty(form);
  form.elements.username.value = username ?? '';
  form.elements.password.required = username !== null;
  asking = async (typed) => {
    await work(typed);
    dialog.close();
  };
  dialog.showModal();
}

let asking = null;
{
  const dialog = find('#ask');
  onSubmit(find('form', dialog), (typed) => asking(typed));
  find('[data-no]', dialog).addEventListener('click', () => dialog.close());
  // What was typed does not stay behind.
  dialog.addEventListener('close', () => empty(find('form', dialog)));
}
