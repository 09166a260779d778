// Reads which files of a source folder import which, from the text alone: types too, `import()` too. It relies on the one
// form of import statement that Biome keeps in this repository.
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

const STATEMENT =
  /^(?:import\s+(?:type\s+)?[\w$\s{},*]+?|export\s+(?:type\s+)?(?:\*(?:\s+as\s+\w+)?|\{[^}]*\}))\s+from\s+'([^']+)'/gm;
const SIDE_EFFECT = /^import\s+'([^']+)'/gm;
const DYNAMIC = /\bimport\(\s*'([^']+)'\s*\)/g;
const COMMENT_LINE = /^\s*(?:\/\/|\/?\*).*$/gm;

/** All TypeScript files below a folder, sorted, with `/` between their parts. */
export function sourceFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) =>
      posix.relative(folder.split('\\').join('/'), join(entry.parentPath, entry.name).split('\\').join('/')),
    )
    .sort();
}

/** The modules that a text imports, in order of appearance, each once. */
export function specifiersOf(text) {
  const code = text.replace(COMMENT_LINE, '');
  const found = [STATEMENT, SIDE_EFFECT, DYNAMIC].flatMap((pattern) =>
    [...code.matchAll(pattern)].map((match) => ({ at: match.index, specifier: match[1] })),
  );
  return [...new Set(found.sort((a, b) => a.at - b.at).map(({ specifier }) => specifier))];
}

/**
 * The house's files: for each its lines, the files it imports and the modules from elsewhere. Throws an Error for a relative
 * import of a file that is not there, so that a reader that misunderstands a path cannot pass unnoticed.
 */
export function readHouse(folder) {
  const files = sourceFiles(folder);
  const known = new Set(files);
  return files.map((file) => {
    const text = readFileSync(join(folder, file), 'utf8');
    const imports = [];
    const external = [];
    for (const specifier of specifiersOf(text)) {
      if (!specifier.startsWith('.')) {
        external.push(specifier);
        continue;
      }
      const target = posix.join(posix.dirname(file), specifier).replace(/\.js$/, '.ts');
      if (!known.has(target)) throw new Error(`${file} imports ${specifier}, which is not there`);
      imports.push(target);
    }
    return { file, lines: text.split('\n').length - 1, imports, external };
  });
}
