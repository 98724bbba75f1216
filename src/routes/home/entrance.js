// For whoever is not signed in: sign in, make an account, set a new password with a token.

import { ask, signIn } from './api.js';
import { empty, find, onSubmit, say } from './page.js';

const post = (path, json) => ask(path, { method: 'POST', json });

/** `enter` goes to the page of whoever has just signed in. */
export function entrance(enter) {
  onSubmit(find('#sign-in form'), async ({ username, password }) => {
    try {
      await signIn(username, password);
    } catch (problem) {
      if (problem.kind !== 'invalid_grant') throw problem;
      problem.message = 'That is not right: check the username and the password. After many failures an account is held back for a while.';
      throw problem;
    }
    empty(find('#sign-in form'));
    await enter();
  });

  onSubmit(find('#register form'), async ({ username, password }) => {
    await post('register', { username, password });
    await signIn(username, password);
    empty(find('#register form'));
    say('Your account has been made, and you are signed in.');
    await enter();
  });

  onSubmit(find('#reset form'), async ({ reset_token, new_password }) => {
    await post('password-reset', { reset_token: reset_token.trim(), new_password });
    empty(find('#reset form'));
    location.hash = '#/sign-in';
    say('Your new password is set. Sign in with it.');
  });
}
