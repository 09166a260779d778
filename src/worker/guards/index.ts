// Guards of engines on this host: their claims and their processes.
export { GuardBook, type GuardClaim } from './guard-book.js';
