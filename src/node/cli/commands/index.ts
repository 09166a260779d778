import type { AddCommand } from '../context.js';
import { addCheck } from './check.js';
import { addDevices } from './devices.js';
import { addDigest } from './digest.js';

export const COMMANDS: readonly AddCommand[] = [addCheck, addDigest, addDevices];
