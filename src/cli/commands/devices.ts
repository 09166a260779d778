import { VramError } from '../../base/index.js';
import { type Backend, type DeviceInfo, deviceId } from '../../device/index.js';
import { classify } from '../../policy/index.js';
import type { AddCommand } from '../context.js';
import { deviceIdentity } from '../device-report.js';
import type { ErrorReporter } from '../error-reporter.js';
import { EXIT } from '../exit-codes.js';
import { jsonOption, requireOption } from '../options.js';
import { jsonDocument } from '../output.js';
import { described, meets, type Requirement } from '../require.js';
import { residencyInWords } from '../residency.js';
import { escapeForTerminal, formatSize } from '../text.js';

interface Missing {
  readonly backend: string;
  readonly code: string;
  readonly message: string;
}

const CAPACITY_SOURCE = { cuda: 'driver', webgpu: 'none', host: 'system' } as const;

/** `devices`: every device with its class and capacity, and what is missing for those that are not there. */
export const addDevices: AddCommand = (program, { io, backends, reporter }, done) => {
  jsonOption(program.command('devices'))
    .description('list the devices, where their memory lives, and what is missing')
    .addOption(requireOption())
    .action(async (options: { json?: boolean; require?: Requirement }) => {
      const found: DeviceInfo[] = [];
      const missing: Missing[] = [];
      for (const backend of backends()) await probe(backend, found, missing, reporter);
      if (options.json) {
        io.stdout(jsonDocument({ v: 1, devices: found.map(listedJson), missing }));
      } else {
        for (const info of found) io.stdout(listedText(info));
        for (const { backend, message } of missing) {
          io.stdout(`${backend}: not available: ${escapeForTerminal(message)}\n`);
        }
      }
      const { require } = options;
      if (require !== undefined && !found.some((info) => meets(info, require)))
        throw new VramError('DEVICE_UNAVAILABLE', `${described(require)} is required, and there is none`);
      done(EXIT.ok);
    });
};

async function probe(
  backend: Backend,
  found: DeviceInfo[],
  missing: Missing[],
  reporter: ErrorReporter,
): Promise<void> {
  try {
    const infos = await backend.list();
    found.push(...infos);
    const problem = infos.length === 0 ? await backend.problem() : null;
    if (problem !== null)
      missing.push({ backend: backend.kind, code: problem.code, message: problem.message });
  } catch (error) {
    // A backend that fails must not hide the others.
    missing.push({ backend: backend.kind, ...reporter.json(error) });
  }
}

function listedJson(info: DeviceInfo) {
  const { residency, why } = classify(info.facts);
  return {
    ...deviceIdentity(info),
    residency,
    why,
    totalBytes: info.facts.totalBytes,
    source: info.facts.totalBytes === null ? 'none' : CAPACITY_SOURCE[info.backend],
  };
}

function listedText(info: DeviceInfo): string {
  const { residency, why } = classify(info.facts);
  const capacity =
    info.facts.totalBytes === null
      ? 'unknown (the platform does not say; give --budget)'
      : `${formatSize(info.facts.totalBytes)} (from the ${CAPACITY_SOURCE[info.backend]})`;
  const rows: readonly (readonly [string, string])[] = [
    ['class', `${residencyInWords(residency)} - ${why}`],
    ['capacity', capacity],
    ['runs as', info.execution],
    ['driver', info.driver ?? 'not reported'],
    ['ECC', info.ecc],
  ];
  const head = `${deviceId(info)}  ${escapeForTerminal(info.name)}\n`;
  return head + rows.map(([name, value]) => `  ${name.padEnd(9)} ${escapeForTerminal(value)}\n`).join('');
}
