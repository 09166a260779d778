import { cpus, loadavg } from 'node:os';
import { Option } from 'commander';
import { VramManager } from '../../manager/index.js';
import { hostIsForced, nativeHasherNames, nodeCrypto } from '../../node/index.js';
import { benchPairs, benchStated, type Pair } from '../bench/index.js';
import type { AddCommand } from '../context.js';
import { deviceJson, deviceText, passedOverText } from '../device-report.js';
import { EXIT } from '../exit-codes.js';
import { jsonOption, parseBytes, parseCount, parseDevice } from '../options.js';
import { jsonDocument } from '../output.js';
import { escapeForTerminal } from '../text.js';

interface BenchOptions {
  readonly device: string;
  readonly size?: number;
  readonly fileSize: number;
  readonly rounds: number;
  readonly json?: boolean;
}

const MIB = 1024 * 1024;
/** Enough to be measured; software devices differ by a factor of fifty. */
const DEVICE_BYTES = { hardware: 1024 * MIB, software: 64 * MIB, emulated: MIB } as const;

/** `bench`: ours against peers, in turns, as ratios. */
export const addBench: AddCommand = (program, context, done) => {
  jsonOption(program.command('bench'))
    .description('measure against peers on this machine, as ratios')
    .addOption(
      new Option('--device <device>', 'auto, cuda:N, webgpu:N or host')
        .default('auto')
        .argParser(parseDevice),
    )
    .addOption(new Option('--size <bytes>', 'bytes to verify on the device').argParser(parseBytes))
    .addOption(
      new Option('--file-size <bytes>', 'bytes of the file to seal')
        .default(256 * MIB, '256MiB')
        .argParser(parseBytes),
    )
    .addOption(
      new Option('--rounds <n>', 'measured rounds of each pair').default(9).argParser(parseCount(1, 1000)),
    )
    .action(async (options: BenchOptions) => {
      const { io } = context;
      const people = options.json ? io.stderr : io.stdout;
      const platform = {
        backends: context.backends,
        crypto: nodeCrypto,
        engine: context.engine,
        forceHost: hostIsForced(io.env),
      };
      const probe = await VramManager.open(
        { device: options.device, policy: 'any', workerId: 'bench' },
        platform,
      );
      const info = probe.device;
      const device = deviceJson(info, probe.status());
      for (const one of probe.status().passedOver) io.stderr(passedOverText(one));
      people(deviceText(info, probe.status()));
      await probe.close();
      const processor = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${cpus().length} cores, Node ${process.versions.node}`;
      people(`machine   ${escapeForTerminal(processor)}\n\n${HEAD}`);
      const setting = {
        main: context.main,
        platform,
        device: device.id,
        deviceBytes: options.size ?? DEVICE_BYTES[info.execution],
        fileBytes: options.fileSize,
        rounds: options.rounds,
        signal: io.signal,
        onPair: (pair: Pair) => people(pairText(pair)),
      };
      const at = new Date().toISOString();
      const load = loadavg()[0];
      const pairs = await benchPairs(setting);
      const stated = await benchStated(setting);
      people(
        '\nWhat an earlier program of the same purpose states for its GPU (unchecked), and the same step here on the ' +
          'host backend (CPU, no GPU):\n',
      );
      for (const { step, original, measured } of stated) {
        people(`${step.padEnd(14)}stated ${original.padEnd(14)}measured ${measured}\n`);
      }
      if (options.json)
        io.stdout(
          jsonDocument({
            v: 1,
            at,
            load,
            device,
            machine: processor,
            hashers: nativeHasherNames(),
            pairs,
            stated,
          }),
        );
      done(EXIT.ok);
    });
};

const HEAD = 'ratio = peer / ours: above 1, ours is faster; median and quartiles of alternating rounds\n';

function pairText({ ours, peer, oursMs, peerMs, ratio, ratioLow, ratioHigh }: Pair): string {
  const quartiles = `${ratioLow.toFixed(2)} to ${ratioHigh.toFixed(2)}`;
  const times = `${ours}: ${oursMs.toFixed(1)} ms  |  ${peer}: ${peerMs.toFixed(1)} ms`;
  return `${ratio.toFixed(2).padStart(6)}x (${quartiles})  ${times}\n`;
}
