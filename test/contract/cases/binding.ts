import type { DeviceBinding } from '../../../src/device/types.js';
import { equal, ok, refused, refusedNow, sameBytes } from '../assert.js';
import type { ContractCase } from '../context.js';
import { dataOf, sealed, using } from '../regions.js';

const LENGTH = 20_001;

/** What each kind of binding can be asked; the bytes are compared where the host may see them. */
async function useBinding(binding: DeviceBinding, expected: Uint8Array): Promise<void> {
  if (binding.kind === 'host') {
    sameBytes(await binding.read(0, expected.length), expected, 'leased bytes');
    (await binding.read(0, expected.length)).fill(0);
    sameBytes(await binding.read(1, 2), expected.subarray(1, 3), 'leased bytes, second time');
    for (const [offset, length] of [
      [-1, 1],
      [0, expected.length + 1],
      [expected.length, 1],
      [Number.NaN, 1],
      [0, 2 ** 53],
    ] as const) {
      await refused(
        'INVALID_INPUT',
        () => binding.read(offset, length),
        `lease read of ${length} at ${offset}`,
      );
    }
  } else if (binding.kind === 'webgpu') {
    const parts = binding.bindings();
    equal(
      parts.reduce((sum, part) => sum + part.byteLength, 0),
      expected.length,
      'bytes bound',
    );
    const range = binding.bindings({ offset: 5, length: 7 });
    equal(
      range.reduce((sum, part) => sum + part.byteLength, 0),
      7,
      'bytes bound of a range',
    );
    refusedNow(
      'INVALID_INPUT',
      () => binding.bindings({ offset: 0, length: expected.length + 1 }),
      'range too long',
    );
  } else {
    const scratch = await binding.scratch(64);
    await scratch.write(expected.subarray(0, 64));
    sameBytes(await scratch.read(), expected.subarray(0, 64), 'scratch of the lease');
  }
}

async function useEnded(binding: DeviceBinding): Promise<void> {
  if (binding.kind === 'host') await refused('NOT_FOUND', () => binding.read(0, 1), 'read');
  else if (binding.kind === 'webgpu') refusedNow('NOT_FOUND', () => binding.bindings(), 'bindings');
  else await refused('NOT_FOUND', () => binding.scratch(64), 'scratch');
}

export const bindingCases: readonly ContractCase[] = [
  {
    name: '[MS-009] a view binds exactly its range, read-only, and ends with its lease',
    run: async (context) => {
      const bytes = dataOf(111, LENGTH);
      await using(await sealed(await context.shared(), bytes), async (region) => {
        const { root } = await region.root();
        for (const [offset, length] of [
          [0, LENGTH],
          [4000, 9001],
        ] as const) {
          const binding = region.view(offset, length);
          equal(binding.byteLength, length, 'byteLength');
          await useBinding(binding, bytes.subarray(offset, offset + length));
          await binding.end();
          await binding.end();
          await useEnded(binding);
        }
        sameBytes((await region.root()).root, root, 'root after the leases');
      });
    },
  },
  {
    name: 'a view of a released region answers NOT_FOUND',
    run: async (context) => {
      const region = await sealed(await context.shared(), dataOf(112, LENGTH));
      const binding = region.view(0, LENGTH);
      await region.release();
      await useEnded(binding);
      await binding.end();
    },
  },
  {
    name: '[MS-001] a binding’s kind is its device’s, and it shows no raw memory',
    run: async (context) => {
      const device = await context.shared();
      await using(await sealed(device, dataOf(113, LENGTH)), async (region) => {
        const binding = region.view(0, 8);
        equal(binding.kind, device.info.backend, 'kind');
        for (const key of Object.keys(binding)) {
          const own: unknown = Reflect.get(binding, key);
          ok(!(own instanceof ArrayBuffer || ArrayBuffer.isView(own)), `${key} is raw memory`);
        }
        await binding.end();
      });
    },
  },
];
