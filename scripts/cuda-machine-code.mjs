// What ptxas makes of a kernel for one architecture: registers, spills, shared memory, and the machine instructions of its
// main loop.
//
// Neither cuobjdump nor nvdisasm is needed: machine code of these architectures is a row of 16-byte instructions whose low
// nine bits name the operation, and the main loop is what lies between a backward branch and its target. An operation that
// the table below does not know is shown by its number and counted where it costs most.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ptxas } from './ptxas-architectures.mjs';

const FMA = 'fma';
const ALU = 'alu';
const OTHER = 'other';
const OPERATIONS = new Map([
  [0x002, ['MOV', ALU]],
  [0x007, ['SEL', ALU]],
  [0x00c, ['ISETP', ALU]],
  [0x010, ['IADD3', ALU]],
  [0x011, ['LEA', ALU]],
  [0x012, ['LOP3', ALU]],
  [0x016, ['PRMT', ALU]],
  [0x019, ['SHF', ALU]],
  [0x01c, ['PLOP3', ALU]],
  [0x024, ['IMAD', FMA]],
  [0x025, ['IMAD.WIDE', FMA]],
  [0x035, ['IADD', ALU]],
  [0x036, ['IADD.64', ALU]],
  [0x08c, ['UISETP', OTHER]],
  [0x090, ['UIADD3', OTHER]],
  [0x144, ['BRX', OTHER]],
  [0x147, ['BRA', OTHER]],
  [0x148, ['WARPSYNC', OTHER]],
  [0x181, ['LDG', OTHER]],
  [0x184, ['LDS', OTHER]],
  [0x186, ['STG', OTHER]],
  [0x188, ['STS', OTHER]],
]);

function textSection(elf, sectionName) {
  const table = Number(elf.readBigUInt64LE(40));
  const [entryBytes, count, names] = [elf.readUInt16LE(58), elf.readUInt16LE(60), elf.readUInt16LE(62)];
  const section = (k) => {
    const at = table + k * entryBytes;
    return {
      name: elf.readUInt32LE(at),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      size: Number(elf.readBigUInt64LE(at + 32)),
    };
  };
  const strings = section(names).offset;
  for (let k = 0; k < count; k++) {
    const { name, offset, size } = section(k);
    const begin = strings + name;
    if (elf.toString('latin1', begin, elf.indexOf(0, begin)) === sectionName)
      return elf.subarray(offset, offset + size);
  }
  throw new Error(`no section ${sectionName}`);
}

/** The instructions of the loop with the most of them, by number of operation. */
function mainLoop(code) {
  const instructions = [];
  for (let at = 0; at < code.length; at += 16) {
    instructions.push({ low: code.readBigUInt64LE(at), high: code.readBigUInt64LE(at + 8) });
  }
  const branches = instructions.flatMap(({ low, high }, at) => {
    if ((low & 0x1ffn) !== 0x147n) return [];
    const field = Number(BigInt.asIntN(48, (low >> 34n) | ((high & 0x3ffffn) << 30n)));
    return [{ at, field, extra: Number((low >> 16n) & 0xffn) }];
  });
  // Every function ends in a branch to itself, 16 bytes back: it shows how this architecture encodes distances.
  const self = branches.findLast((branch) => branch.field < 0);
  const split = self?.field === -1 && self.extra === 0xfc;
  if (self === undefined || (!split && self.field !== -4))
    throw new Error('unknown machine code: no closing branch');
  let longest = [];
  for (const { at, field, extra } of branches) {
    const words = split ? field * 256 + extra : field;
    const target = at + 1 + words / 4;
    if (!Number.isInteger(target) || target < 0 || target > at) continue;
    if (at + 1 - target > longest.length) longest = instructions.slice(target, at + 1);
  }
  return longest.map(({ low }) => Number(low & 0x1ffn));
}

/**
 * Counts for `kernel` in `ptx`, whose main loop hashes the next 64 bytes of `blocksPerThread` blocks: instructions, by
 * operation and by pipe, are those for 64 bytes of one block. Throws where ptxas fails or the machine code is not
 * understood.
 */
export function measure(ptx, architecture, kernel, folder, blocksPerThread = 1) {
  const [input, output] = [join(folder, 'in.ptx'), join(folder, 'out.cubin')];
  writeFileSync(input, ptx);
  const made = spawnSync(ptxas, ['-v', `-arch=${architecture}`, input, '-o', output], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`ptxas ${architecture}:\n${made.stderr}`);
  const said = made.stderr.slice(made.stderr.indexOf(`'${kernel}'`));
  const figure = (pattern) => Number(pattern.exec(said)?.[1] ?? Number.NaN);
  const [used = ''] = /Used .*/.exec(said) ?? [];
  const counts = { alu: 0, fma: 0, other: 0 };
  const mix = new Map();
  for (const operation of mainLoop(textSection(readFileSync(output), `.text.${kernel}`))) {
    const [name, pipe] = OPERATIONS.get(operation) ?? [`0x${operation.toString(16)}`, ALU];
    mix.set(name, (mix.get(name) ?? 0) + 1);
    counts[pipe]++;
  }
  const each = (count) => count / blocksPerThread;
  return {
    registers: figure(/Used (\d+) registers/),
    spills: figure(/(\d+) bytes spill stores/) + figure(/(\d+) bytes spill loads/),
    shared: Number(/(\d+) bytes smem/.exec(used)?.[1] ?? 0),
    instructions: each(counts.alu + counts.fma + counts.other),
    pipes: { alu: each(counts.alu), fma: each(counts.fma) },
    mix: [...mix]
      .sort((a, b) => b[1] - a[1])
      .map(([name, count]) => `${name} ${each(count)}`)
      .join(', '),
  };
}
