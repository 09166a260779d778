import { addAudit } from '../audit.js';
import type { AddCommand } from '../context.js';
import { addBench } from './bench.js';
import { addCheck } from './check.js';
import { addDevices } from './devices.js';
import { addDigest } from './digest.js';
import { addSelftest } from './selftest.js';

export const COMMANDS: readonly AddCommand[] = [
  addCheck,
  addDigest,
  addDevices,
  addSelftest,
  addAudit,
  addBench,
];
