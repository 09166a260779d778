// The worker over HTTP: routes, schemas, who may call, and the sockets.
export { Admission } from './admission.js';
export { workerApp } from './app.js';
export { type Address, type Listener, listen } from './listener.js';
export { refusedField } from './refused-field.js';
export { ROUTES } from './routes.js';
export { commitRequest } from './schemas.js';
export { Tokens } from './tokens.js';
