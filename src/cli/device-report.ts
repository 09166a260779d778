import { type DeviceInfo, deviceId } from '../device/index.js';
import type { ManagerStatus } from '../manager/index.js';
import { residencyInWords } from './residency.js';
import { escapeForTerminal } from './text.js';

/** Which device it is, and what runs its kernels: the members that all JSON documents have. */
export function deviceIdentity(info: DeviceInfo) {
  return {
    id: deviceId(info),
    backend: info.backend,
    index: info.index,
    name: info.name,
    uuid: info.uuid,
    driver: info.driver,
    driverFile: info.facts.driverFile,
    kernelsReplaced: info.facts.kernelsReplaced,
    execution: info.execution,
    ecc: info.ecc,
  };
}

/** The device of an open manager as JSON documents carry it. */
export function deviceJson(info: DeviceInfo, status: ManagerStatus) {
  return {
    ...deviceIdentity(info),
    residency: status.residency,
    why: status.residencyReason,
    policy: status.policy,
    key: status.key,
    passedOver: status.passedOver.map(({ device, code, message }) => ({ device, code, message })),
  };
}

/** The device for people. */
export function deviceText(info: DeviceInfo, status: ManagerStatus): string {
  const runs =
    info.execution === 'hardware'
      ? 'on the GPU'
      : `by ${info.execution === 'emulated' ? 'an emulated driver' : 'software on the CPU'}`;
  return (
    `device    ${deviceId(info)}  ${escapeForTerminal(info.name)}, kernels run ${runs}\n` +
    `class     ${residencyInWords(status.residency)}\n` +
    `          ${escapeForTerminal(status.residencyReason)}\n` +
    `policy    ${status.policy} (accepts ${status.policyAccepts.join(', ')})\n` +
    (status.key === 'ephemeral'
      ? 'key       ephemeral: seals can be checked by this process alone\n'
      : `key       from the token, fingerprint ${status.keyFingerprint}\n`)
  );
}

/** What `auto` passed over for that device, a line each. */
export function passedOverText({ device, message }: ManagerStatus['passedOver'][number]): string {
  return `skipped   ${device}: ${escapeForTerminal(message)}\n`;
}
