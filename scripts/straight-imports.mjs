// A room is entered through its index.js. To a bundler that splits code, this is a module that needs the whole room, so an
// import of one small class would load the entire room. This plugin redirects each imported name to the module that defines
// it. Our modules do nothing when they are loaded (`sideEffects: false`), so this only changes what is loaded when.
import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';

/** As tsc writes them: one statement a line. */
const THROUGH_DOOR = /^(import|export) \{ (.+?),? \} from '(\.[^']*\/index\.js)';$/gm;
const PASSED_ON = /^export \{ (.+?),? \} from '(\.[^']*)';$/gm;

/** The plugin, for Rolldown. */
export const straightImports = {
  name: 'straight-imports',
  transform: (text, path) => ({ code: straightened(text, path), map: null }),
};

/** The text of the module at `path` with its imports redirected. */
export function straightened(text, path) {
  return text.replaceAll(THROUGH_DOOR, (_, keyword, names, door) =>
    namesOf(names)
      .map(({ name, as }) => {
        const origin = definitionOf(resolve(dirname(path), door), name);
        return `${keyword} { ${origin.name} as ${as} } from '${relativeTo(path, origin.file)}';`;
      })
      .join(' '),
  );
}

/** Where a name that the module `file` exports is defined, however many indexes re-export it. */
function definitionOf(file, name) {
  for (const [, names, from] of readFileSync(file, 'utf8').matchAll(PASSED_ON)) {
    const found = namesOf(names).find(({ as }) => as === name);
    if (found !== undefined) return definitionOf(resolve(dirname(file), from), found.name);
  }
  return { file, name };
}

function namesOf(list) {
  return list.split(', ').map((one) => {
    const [name, as = name] = one.split(' as ');
    return { name, as };
  });
}

function relativeTo(path, file) {
  const straight = relative(dirname(path), file);
  return straight.startsWith('.') ? straight : `./${straight}`;
}
