import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { NO_COMPILER, openEmulator } from './emulator-control.js';
import { Session } from './emulator-session.js';

const emulator = openEmulator();
const ptx = readFileSync(new URL('../../cuda/vram.ptx', import.meta.url), 'utf8');
const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest());

/** What mutants of the PTX needed that the contract suite, which always passes a canary, cannot ask for. */
describe.skipIf(emulator === null)(
  `the PTX that ships, called as the library never does${emulator === null ? ` ${NO_COMPILER}` : ''}`,
  () => {
    it.each([1, 128, 129])(
      'vr_nodes over %i hashes: a null canary is skipped, all nodes are not',
      (count) => {
        if (emulator === null) throw new Error(NO_COMPILER);
        const session = new Session(emulator.control);
        const nodes = Math.ceil(count / 128);
        const hashes = Uint8Array.from({ length: count * 32 }, (_, index) => (index * 7) & 255);
        const from = session.allocate(hashes);
        const out = session.allocate(new Uint8Array((nodes + 1) * 32).fill(7));
        const counter = session.allocate(new Uint8Array(8));
        const args = [{ u64: from }, { u64: BigInt(count) }, { u64: 0n }, { u64: out }, { u64: counter }];
        expect(session.run(session.load(ptx), 'vr_nodes', 1, 32, args)).toBe(0);
        for (let node = 0; node < nodes; node++) {
          const block = new Uint8Array(4096);
          block.set(hashes.subarray(node * 4096, (node + 1) * 4096));
          expect(session.read(out + BigInt(node * 32), 32)).toEqual(sha256(block));
        }
        expect(session.read(out + BigInt(nodes * 32), 32)).toEqual(new Uint8Array(32).fill(7));
        expect(session.counter(counter)).toBe(BigInt(nodes));
      },
    );
  },
);
