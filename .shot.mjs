import { launchChromium } from './test/support/chromium.mjs';
const r = await launchChromium(); const b = r.browser ?? r;
for (const scheme of ['light','dark']) { const c = await b.newContext({colorScheme: scheme, viewport:{width:1000,height:420}}); const p = await c.newPage(); await p.goto('file:///work/a-me/docs/overview.svg'); await p.screenshot({path:`/tmp/svg-${scheme}.png`}); }
await b.close(); process.exit(0);
