// The worker's page. Built into one script by scripts/embed.mjs and served by the worker itself; nothing imports this room.
import { getSession, login, logout, Refusal } from './api.js';
import { byId, setText } from './dom.js';
import { Overview } from './overview.js';

const RETRY_MS = 2_000;
const VIEWS = ['login', 'loading', 'overview'] as const;
let overview: Overview | null = null;

function show(view: (typeof VIEWS)[number]): void {
  for (const name of VIEWS) byId(name, HTMLElement).hidden = name !== view;
}

function showLogin(): void {
  overview?.end();
  overview = null;
  byId('leave', HTMLButtonElement).hidden = true;
  setText(byId('worker', HTMLParagraphElement), '');
  setText(byId('link', HTMLParagraphElement), '');
  document.title = 'Sign in: vram-residency';
  show('login');
  byId('token', HTMLInputElement).focus();
}

function start(): void {
  getSession()
    .then((session) => {
      byId('leave', HTMLButtonElement).hidden = !session.login;
      show('overview');
      overview?.end();
      overview = new Overview(session, showLogin);
    })
    .catch((error: unknown) => {
      if (error instanceof Refusal && error.status === 401) return showLogin();
      show('loading');
      const said = error instanceof Refusal ? error.message : 'it does not answer';
      setText(byId('loading', HTMLElement), `The worker cannot be reached: ${said}. Trying again…`);
      setTimeout(start, RETRY_MS);
    });
}

byId('login-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  const field = byId('token', HTMLInputElement);
  const said = byId('login-error', HTMLParagraphElement);
  setText(said, '');
  login(field.value.trim())
    .then(() => {
      field.value = '';
      start();
    })
    .catch((error: unknown) => {
      const refused = error instanceof Refusal && error.status === 401;
      const detail = error instanceof Refusal ? error.message : 'the worker does not answer';
      setText(said, refused ? 'This is not a token of this worker.' : `Not signed in: ${detail}`);
      field.select();
    });
});

byId('leave', HTMLButtonElement).addEventListener('click', () => {
  logout().then(showLogin, () => setText(byId('link', HTMLParagraphElement), 'Not signed out: no answer'));
});

start();
