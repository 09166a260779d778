// Unpacks the Chromium that the npm package @sparticuz/chromium carries into .cache/, once, safely beside other processes.
// Its own executablePath() reuses a fixed temporary path, which another user or version may own.
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';
import tar from 'tar-fs';

const cache = fileURLToPath(new URL('../../.cache/', import.meta.url));
const require = createRequire(import.meta.url);

async function exists(path) {
  return stat(path).then(
    () => true,
    (error) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** The folder `bin` of @sparticuz/chromium and its version; null where it is not installed. */
export async function npmChromiumPackage() {
  let entry;
  try {
    entry = require.resolve('@sparticuz/chromium');
  } catch {
    return null;
  }
  let folder = dirname(entry);
  while (!(await exists(join(folder, 'bin', 'chromium.br')))) {
    const parent = dirname(folder);
    if (parent === folder) return null;
    folder = parent;
  }
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  return { bin: join(folder, 'bin'), version };
}

/**
 * Fills `.cache/<name>` by `fill(folder)` unless it is there already; a half-filled folder is never seen. Returns its path.
 */
export async function cached(name, fill) {
  const target = join(cache, name);
  if (await exists(target)) return target;
  await mkdir(dirname(target), { recursive: true });
  const half = await mkdtemp(`${target}.part-`);
  try {
    await fill(half);
    await chmod(half, 0o755);
    await rename(half, target);
  } catch (error) {
    await rm(half, { recursive: true, force: true });
    // Another process was first: its folder is as good.
    if (!(await exists(target))) throw error;
  }
  return target;
}

/** Unpacks a brotli-compressed tar file. */
export async function unpackTar(file, folder) {
  await pipeline(createReadStream(file), createBrotliDecompress(), tar.extract(folder));
}

/**
 * The browser's path and the environment it needs on a bare machine; null where the package is missing or not for this
 * platform.
 */
export async function npmChromium() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  const found = await npmChromiumPackage();
  if (found === null) return null;
  const folder = await cached(`chromium-${found.version}`, async (half) => {
    const executable = join(half, 'chromium');
    await pipeline(
      createReadStream(join(found.bin, 'chromium.br')),
      createBrotliDecompress(),
      createWriteStream(executable),
    );
    await chmod(executable, 0o755);
    await unpackTar(join(found.bin, 'swiftshader.tar.br'), half);
    await unpackTar(join(found.bin, 'al2023.tar.br'), join(half, 'al2023'));
    await unpackTar(join(found.bin, 'fonts.tar.br'), half);
  });
  return {
    executablePath: join(folder, 'chromium'),
    env: {
      LD_LIBRARY_PATH: [join(folder, 'al2023', 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':'),
      FONTCONFIG_PATH: join(folder, 'fonts'),
    },
  };
}
