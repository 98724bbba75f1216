// The tokens, and every request.
//
// The access token is held by this module and nowhere else. The refresh token is kept in sessionStorage, so that a reload
// signs nobody out: it is gone with the tab, no browser sends it by itself (so there is nothing that another site could make
// use of, as with a cookie), and it is good for one use. Only scripts of this origin could read it, and the policy of this
// page lets none run but those that the server brings.

const base = new URL('.', document.baseURI);
const tokenPath = document.body.dataset.tokenPath.replace(/^\//, '');
const CLIENT = 'account page';
const KEPT = 'shild.refresh_token';
const TAB = 'shild.tab';

let accessToken = null;
let scopes = [];
let refreshing = null;
let release = null;

/** Tells of `scopes` when tokens have come, and of `ended` when the session has. */
export const events = new EventTarget();

/** For people, where the server's own words are for programs. */
const WORDS = {
  stale: 'This has changed in the meantime. Reload the page to see how it is now.',
};

/** Why the server did not do it. */
export class Problem extends Error {
  constructor({ kind, text, faults = [], wait = null }) {
    super(wait ? `${text} Try again in ${wait} seconds.` : text);
    Object.assign(this, { kind, faults });
  }

  /** From an answer: RFC 9457, or RFC 6749 §5.2 of the token endpoint. */
  static async of(response) {
    const body = await response.json().catch(() => ({}));
    const wait = [429, 503].includes(response.status) ? response.headers.get('Retry-After') : null;
    const kind = body.error ?? body.type?.split('/').pop();
    const text = WORDS[kind] ?? body.detail ?? sentence(body.error_description) ?? `The server answered ${response.status}.`;
    return new Problem({ kind, text, faults: body.errors, wait });
  }
}

const sentence = (text) => text && `${text}.`.replace(/\.\.$/, '.');

async function send(path, { method = 'GET', json, form, version, token } = {}) {
  const headers = new Headers({ Accept: 'application/json' });
  if (token) headers.set('Authorization', `Bearer ${token}`);
  if (json) headers.set('Content-Type', 'application/json');
  if (version !== undefined) headers.set('If-Match', `"${version}"`);
  const body = json ? JSON.stringify(json) : form && new URLSearchParams(form);
  let response;
  try {
    response = await fetch(new URL(path, base), { method, headers, body, cache: 'no-store', redirect: 'error' });
  } catch {
    throw new Problem({ kind: 'unreachable', text: 'The server cannot be reached.' });
  }
  if (!response.ok) throw await Problem.of(response);
  return response.status === 204 || path === 'revoke' ? null : response.json();
}

/** A request that needs no token. */
export const ask = (path, options) => send(path, options);

/** A request with the access token, which is renewed if need be. */
export async function call(path, options) {
  const used = accessToken;
  try {
    return await send(path, { ...options, token: used });
  } catch (problem) {
    if (problem.kind !== 'invalid-token') throw problem;
    // Another request may have renewed it meanwhile.
    if (accessToken === used) await refresh();
    return send(path, { ...options, token: accessToken });
  }
}

/** The tokens of a new sign-in, which are not kept. */
export const grant = (username, password) =>
  ask(tokenPath, { method: 'POST', form: { grant_type: 'password', client_id: CLIENT, username, password } });

/** A request with the token of a sign-in made for it (RFC 9470), which does not outlive it. */
export async function callAnew(username, password, path, options) {
  const tokens = await grant(username, password);
  try {
    return await send(path, { ...options, token: tokens.access_token });
  } catch (problem) {
    await revoke(tokens.refresh_token).catch(() => {});
    throw problem;
  }
}

export async function signIn(username, password) {
  const tokens = await grant(username, password);
  sessionStorage.setItem(TAB, Array.from(crypto.getRandomValues(new Uint32Array(4))).join('-'));
  keep(tokens);
  await only();
}

/** Ends the session at the server and forgets it here, reachable or not. */
export async function signOut() {
  const token = sessionStorage.getItem(KEPT);
  forget();
  if (token) await revoke(token);
}

const revoke = (token) => ask('revoke', { method: 'POST', form: { token, client_id: CLIENT } });

/** Goes on with the session of before a reload, if there is one. */
export async function resume() {
  if (!sessionStorage.getItem(KEPT)) return false;
  if (!(await only())) {
    forget();
    return false;
  }
  await refresh();
  return true;
}

/** The scopes of the access token; `null` when nobody is signed in. */
export const granted = () => accessToken && scopes;

/** One renewal at a time, whoever asks for it. */
function refresh() {
  refreshing ??= renew().finally(() => (refreshing = null));
  return refreshing;
}

async function renew() {
  const form = { grant_type: 'refresh_token', client_id: CLIENT, refresh_token: sessionStorage.getItem(KEPT) ?? '' };
  try {
    keep(await ask(tokenPath, { method: 'POST', form }));
  } catch (problem) {
    if (!['invalid_grant', 'invalid_request'].includes(problem.kind)) throw problem;
    forget();
    events.dispatchEvent(new Event('ended'));
    throw new Problem({ kind: 'ended', text: 'Your session has ended.' });
  }
}

function keep(tokens) {
  accessToken = tokens.access_token;
  scopes = tokens.scope.split(' ');
  sessionStorage.setItem(KEPT, tokens.refresh_token);
  events.dispatchEvent(new Event('scopes'));
}

export function forget() {
  accessToken = null;
  scopes = [];
  sessionStorage.removeItem(KEPT);
}

/**
 * Whether this tab is the only one with its refresh token. Who duplicates a tab duplicates the token too; were both to use
 * it, the server would rightly take that for theft and end the session. So the copy starts signed out. (Where the browser
 * has no locks, on plain HTTP from another host, nothing is noticed.)
 */
function only() {
  if (!navigator.locks) return true;
  release?.();
  return new Promise((resolve) => {
    // A page that is being reloaded lets go of its lock in a moment.
    const signal = AbortSignal.timeout(1000);
    const held = () => {
      resolve(true);
      return new Promise((free) => (release = free));
    };
    navigator.locks.request(`shild ${sessionStorage.getItem(TAB)}`, { signal }, held).catch(() => resolve(false));
  });
}
