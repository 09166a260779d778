import { serveDigests } from '../../dist/browser.js';

serveDigests();
