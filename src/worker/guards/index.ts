// Guards of engines on this host: what they claim, and who they are.
export { GuardBook, type GuardClaim } from './guard-book.js';
export { type KnownProcess, knownProcess } from './known-process.js';
