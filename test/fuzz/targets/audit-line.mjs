import { damage } from '../random.mjs';

export const name = 'audit-line';
export const modules = ['audit/format/record.js'];

const SAMPLE = {
  correlationId: 'request-7 é',
  data: { bytes: 4096, device: { index: 0, name: 'x' }, ok: true, why: null },
  epoch: 0,
  id: '00112233445566778899aabbccddeeff',
  prev: 'cd'.repeat(32),
  seq: 12,
  severity: 'MEDIUM',
  traceparent: null,
  ts: '2026-01-02T03:04:05.678Z',
  type: 'vram.allocated',
  v: 1,
  workerId: 'worker-1',
};
const FAULTS = ['line-too-long', 'not-json', 'not-canonical', 'bad-field'];
const VALUES = [
  null,
  true,
  -1,
  1.5,
  2 ** 53,
  '',
  'x',
  '\ud800',
  [],
  {},
  'vram.sealed',
  'HIGH',
  'ab'.repeat(32),
];

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
}

export function create({ parseLine }) {
  const base = { ...SAMPLE, mac: 'ef'.repeat(32) };
  const encoder = new TextEncoder();
  return {
    make(random) {
      const record = structuredClone(base);
      record.seq = random.below(1000);
      record.correlationId = random.pick([null, 'a', 'é\u2028', '"\\']);
      if (random.chance(50)) {
        const keys = Object.keys(record);
        const key = random.pick(keys);
        const [removes, adds] = [random.chance(20), random.chance(20)];
        if (removes) delete record[key];
        else if (adds) record.extra = 1;
        else record[key] = random.pick(VALUES);
      }
      const line = random.chance(85) ? canonical(record) : JSON.stringify(record, null, random.pick([0, 1]));
      const bytes = encoder.encode(line);
      if (random.chance(3)) return encoder.encode(line.replace('"worker-1"', `"${'w'.repeat(66_000)}"`));
      return random.chance(35) ? damage(bytes, random) : bytes;
    },

    check(bytes) {
      const parsed = parseLine(bytes);
      if (typeof parsed === 'string') {
        if (!FAULTS.includes(parsed)) throw new Error(`a fault of its own: ${parsed}`);
        return `${parsed}${parsed === 'bad-field' ? ` ${firstOddKey(bytes)}` : ''}`;
      }
      const line = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
      const value = JSON.parse(line);
      if (canonical(value) !== line) throw new Error('accepted a line that is not canonical');
      if (canonical(parsed.record) !== line) throw new Error('another record than JSON.parse gives');
      const mac = new TextDecoder().decode(bytes.subarray(parsed.macStart, parsed.macEnd));
      if (!mac.includes(`"mac":"${value.mac}"`)) throw new Error('the place of the MAC is another');
      const without = `${line.slice(0, line.indexOf(mac))}${line.slice(line.indexOf(mac) + mac.length)}`;
      const { mac: _, ...unsigned } = value;
      if (canonical(JSON.parse(without)) !== canonical(unsigned))
        throw new Error('what the MAC covers is not the rest');
      return 'accepted';
    },
  };
}

function firstOddKey(bytes) {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes));
    return Object.keys({ ...SAMPLE, mac: '' }).find((key) => !(key in value)) ?? 'value';
  } catch {
    return 'none';
  }
}
