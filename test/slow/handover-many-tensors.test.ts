import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { addonTransport, ShareServer } from '../../src/handover/index.js';
import { tensorSource } from '../../src/models/index.js';
import { openModel } from '../../src/node/files/index.js';
import { safetensorsFile } from '../fuzz/build.mjs';
import { ended } from '../support/cli.js';
import { cudaTestbed } from '../support/cuda.js';
import { findPython } from '../support/python.js';
import { openHost } from '../unit/manager/fixture.js';

/** As in test/slow/seal-many-tensors.test.ts. */
const TENSORS = 494_592;
const FILES = 16;
const MOST_PEAK_MIB = 2048;

const bed = await cudaTestbed();
const python = findPython(process.env['PYTHON'] ?? 'python3');
const missing = bed.missing ?? python.missing;

/** Borrows the model and tells what it costs: tensors, the last one's byte, seconds, and peak memory in MiB. */
const BORROW = `
import json, resource, sys, time
from vram_residency.share import connect
started = time.monotonic()
with connect(sys.argv[1], client="many").lend("many") as lease:
    last = bytes(lease[sys.argv[2]].buffer())
    print(json.dumps({
        "tensors": len(lease.tensors), "last": last[0], "seconds": time.monotonic() - started,
        "peakMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))
`;

/** A model in several files, as no file may name so many tensors, with an index. Returns the last tensor's name. */
function writeModel(folder: string): string {
  const perFile = TENSORS / FILES;
  const members: string[] = [];
  let last = '';
  for (let file = 0; file < FILES; file++) {
    const name = `model-${file}.safetensors`;
    const header: Record<string, unknown> = {};
    for (let at = 0; at < perFile; at++) {
      const tensor = `model.layers.${file}.experts.${at}.weight`;
      header[tensor] = { dtype: 'U8', shape: [1], data_offsets: [at, at + 1] };
      members.push(`${JSON.stringify(tensor)}:${JSON.stringify(name)}`);
      last = tensor;
    }
    writeFileSync(join(folder, name), safetensorsFile(header, new Uint8Array(perFile).fill(file + 1)));
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), `{"weight_map":{${members.join(',')}}}`);
  return last;
}

it.skipIf(missing !== null)(
  `a manifest of ${TENSORS} tensors is handed over and checked${missing === null ? '' : ` (SKIPPED: ${missing})`}`,
  { timeout: 300_000 },
  async () => {
    if (bed.missing !== null || python.missing !== null) throw new Error('there is no test bed');
    const folder = mkdtempSync(join(tmpdir(), 'share-many-'));
    chmodSync(folder, 0o700);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    const model = join(folder, 'model');
    mkdirSync(model);
    const last = writeModel(model);
    const source = tensorSource(await openModel(model));
    expect(source.manifest.tensors).toHaveLength(TENSORS);
    bed.emulator.reset();
    const { manager } = await openHost({
      options: { device: await bed.backend().open(0), clock: undefined },
    });
    const shard = await manager.seal(source, { share: true });
    const socket = join(folder, 's');
    const server = await ShareServer.open(
      manager,
      { socket, models: { many: shard } },
      addonTransport(bed.addon),
    );
    try {
      for (let client = 0; client < 2; client++) {
        const { code, stdout, stderr } = await ended(
          spawn(python.python, ['-c', BORROW, socket, last], {
            env: {
              ...process.env,
              PYTHONPATH: 'clients/python/src',
              VRAM_RESIDENCY_LIBCUDA: bed.libraryPath,
            },
          }),
        );
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        const found: unknown = JSON.parse(stdout);
        console.log(`494,592 tensors lent: ${stdout.trim()}`);
        expect(found).toMatchObject({ tensors: TENSORS, last: FILES });
        // Names, objects and the text they come from: a client of a real model has this beside gigabytes of weights.
        expect(found).toHaveProperty(
          'peakMiB',
          expect.toSatisfy((peak: number) => peak < MOST_PEAK_MIB),
        );
      }
      await expect.poll(() => server.leases()).toEqual([]);
    } finally {
      await server.close();
      await manager.close();
      await source.close();
    }
  },
);
