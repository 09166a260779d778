// Run as a process of its own: reads one model file and prints the growth of the peak resident set, in bytes.
//   node peak-memory.mjs BUNDLE WARM_UP_FILE FILE
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [bundle, warmUp, file] = process.argv.slice(2);
const { openModel, isVramError } = await import(pathToFileURL(bundle).href);
/** Linux hands the parent's peak down in resourceUsage(); the one in /proc is this process's own. */
function peak() {
  if (process.platform !== 'linux') return process.resourceUsage().maxRSS * 1024;
  const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line[1]) * 1024;
}

// Code and heap that any reading needs.
await openModel(warmUp);
const before = peak();
const started = process.cpuUsage();
let outcome;
try {
  const { tensorCount } = await openModel(file);
  outcome = `${tensorCount} tensors`;
} catch (error) {
  if (!isVramError(error)) throw error;
  outcome = error.message;
}
const { user, system } = process.cpuUsage(started);
console.log(JSON.stringify({ outcome, growth: peak() - before, cpuMs: (user + system) / 1000 }));
