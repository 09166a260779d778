// npm run bench: the command `vram-residency bench` on whatever Vulkan this machine has, software included.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { prepareVulkan } from '../test/support/vulkan.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
if (!existsSync(`${root}dist/bundle/lib/main.js`)) await import('../scripts/build.mjs');
const { adapter } = await prepareVulkan();
const has = (option) => process.argv.some((argument) => argument.startsWith(option));
// SwiftShader hashes only some megabytes a second.
if (adapter === 'swiftshader' && !has('--size')) process.argv.push('--size', '4MiB');
if (adapter === 'swiftshader' && !has('--file-size')) process.argv.push('--file-size', '4MiB');
if (adapter === 'host' && !has('--device')) process.argv.push('--device', 'host');
process.argv.splice(2, 0, 'bench');
// The bundle, as users run it: the start of this program is measured.
await import('../dist/bundle/lib/main.js');
