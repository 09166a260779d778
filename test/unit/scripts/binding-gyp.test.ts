import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const NATIVE = fileURLToPath(new URL('../../../native/', import.meta.url));

it('node-gyp compiles the sources that scripts/build-native.mjs does', () => {
  const named = [...readFileSync(`${NATIVE}binding.gyp`, 'utf8').matchAll(/'src\/(.+\.cc)'/g)].map(
    ([, file]) => file,
  );
  const there = readdirSync(`${NATIVE}src`, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.cc'),
  );
  expect(named).toEqual(there.sort());
});
