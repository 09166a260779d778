// The worker's HTTP service uses packages that other users of the library do not need. They are bundled into one file of
// dist/, with their licences beside it, so that installing the library does not install them.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const FOLDER = 'dist/worker/packages';

/** zod has its messages in fifty languages; this service only uses English. */
const englishAlone = {
  name: 'english alone',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/** Replaces tsc's output of `src/worker/packages/index.ts` by a bundle of the packages that it names. */
export async function bundleServicePackages(root) {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/worker/packages/index.ts'],
    outfile: `${FOLDER}/index.js`,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    minify: true,
    keepNames: true,
    plugins: [englishAlone],
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  const packages = new Set(Object.keys(metafile.inputs).flatMap(packageOf));
  const notices = [...packages]
    .sort()
    .map((name) => `${name}\n\n${licenceOf(join(root, 'node_modules', name))}`);
  writeFileSync(join(root, FOLDER, 'LICENSES.txt'), notices.join(`\n\n${'-'.repeat(80)}\n\n`));
}

function packageOf(path) {
  const [, name] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? [];
  return name === undefined ? [] : [name];
}

function licenceOf(folder) {
  const file = readdirSync(folder).find((name) => /^licen[cs]e(\.\w+)?$/i.test(name));
  if (file !== undefined && existsSync(join(folder, file)))
    return readFileSync(join(folder, file), 'utf8').trim();
  const { license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const by = typeof author === 'string' ? author : (author?.name ?? 'its authors');
  return `${license}, by ${by}; the package holds no text of its licence.`;
}
