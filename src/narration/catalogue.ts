import { counted, type DamagedRange } from '../base/index.js';
import type { EventOf, EventType, OperationEvent, OperationName, RevokeReason } from '../events/index.js';
import { because, named } from './sentence.js';
import type { NarrationLevel } from './types.js';
import { bytesInWords, msInWords } from './units.js';

/** The text of one event; the rest of a narration is the same for all. */
export interface Description {
  readonly action: NarratedAction;
  readonly level: NarrationLevel;
  readonly actor: 'manager' | 'device' | 'policy';
  readonly target: string;
  readonly human: string;
  readonly storybook: string;
}

/** Every narrated action and its meaning. The first thirteen are those of the original system. */
export const NARRATED_ACTIONS = {
  manager_init: 'a manager opened, or failed to',
  model_sealed: 'a shard was sealed, or sealing failed',
  seal_verified: 'the resident bytes match their seal, or a sample of them does',
  seal_verification_failed: 'a verification failed: a bad handle, or damaged bytes',
  vram_allocated: 'device memory was allocated',
  vram_allocation_failed: 'device memory could not be allocated',
  vram_deallocated: 'device memory was zeroed and freed, or freed without zeroing',
  policy_violation: 'the residency policy refused a device',
  digest_computed: 'a digest was computed, on the host or in place on the device',
  signature_generated: 'a seal was signed',
  device_context_initialised: 'a device was opened and passed its known-answer tests, or failed to',
  validation_failed: 'an input was refused',
  capacity_query: 'capacity was queried, or the query failed',
  shard_quarantined: 'a damaged shard was quarantined',
  damage_located: 'the damage was located, or could not be',
  shard_healed: 'damaged blocks were repaired, or could not be',
  shard_executed: 'work ran on verified weights, or failed',
  shard_scrubbed: 'a background check of a shard ended',
  shard_lent: 'a shard was lent to another process, or lending failed',
  lease_revoked: 'a lease of another process was revoked',
  lease_ended: 'a lease of another process ended',
  guard_claimed: 'a guard in another process registered or reported, or could not be recorded',
  shard_attested: 'a residency statement was signed, or could not be',
  drill_injected: 'a bit is about to be flipped on purpose, or a drill was refused',
  close_failed: 'a source, the device or the digest engine could not be closed',
  manager_stopped: 'a manager stopped sealing and executing',
  manager_closed: 'a manager closed',
  device_lost: 'a device was lost, with every seal on it',
} as const;

/** The narrated actions. */
export type NarratedAction = keyof typeof NARRATED_ACTIONS;

type Describer<T extends EventType> = (event: EventOf<T>) => Description | null;
type Describers = { readonly [T in EventType]: Describer<T> | null };

/** The action under which an operation's failure is narrated when no specific event has reported it. */
const FAILED_OPERATION: Readonly<Record<OperationName, NarratedAction>> = {
  open: 'manager_init',
  seal: 'model_sealed',
  verify: 'seal_verification_failed',
  execute: 'shard_executed',
  heal: 'shard_healed',
  scrub: 'shard_scrubbed',
  drill: 'drill_injected',
  attest: 'shard_attested',
  lend: 'shard_lent',
  claim: 'guard_claimed',
  release: 'vram_deallocated',
  capacity: 'capacity_query',
  stop: 'manager_stopped',
  close: 'manager_closed',
};

/** The operation, as the beginning of a sentence about its failure. */
const ATTEMPT: Readonly<Record<OperationName, string>> = {
  open: 'Opening the worker',
  seal: 'Sealing',
  verify: 'Verifying',
  execute: 'Executing on',
  heal: 'Healing',
  scrub: 'The background check of',
  drill: 'The drill on',
  attest: 'Attesting',
  lend: 'Lending',
  claim: "Recording a guard's claim",
  release: 'Releasing',
  capacity: 'Querying capacity',
  stop: 'Stopping',
  close: 'Closing',
};
/** Operations on one shard: the shard's name follows theirs in a sentence. */
const ON_A_SHARD: ReadonlySet<OperationName> = new Set([
  'seal',
  'verify',
  'execute',
  'heal',
  'scrub',
  'drill',
  'attest',
  'lend',
  'release',
]);

const shard = (event: OperationEvent): string => (event.shardId === null ? 'a shard' : named(event.shardId));
const shardTarget = (event: OperationEvent): string => event.shardId ?? 'shard';
const worker = (event: OperationEvent): string => named(event.workerId);
const device = (event: OperationEvent): string => named(event.device?.id ?? 'the device');
const deviceTarget = (event: OperationEvent): string => event.device?.id ?? 'device';
const took = (event: OperationEvent): string =>
  event.durationMs === null ? '' : ` in ${msInWords(event.durationMs)}`;
const free = (bytes: number | null): string =>
  bytes === null ? 'free memory unknown' : `${bytesInWords(bytes)} free`;
const attempt = (event: OperationEvent): string =>
  ON_A_SHARD.has(event.operation) ? `${ATTEMPT[event.operation]} ${shard(event)}` : ATTEMPT[event.operation];

/** `: 40 tensors of 2 files in 12 buffers, 1.2 kB of padding`; empty for a plain sequence of bytes. */
function packedInWords({ packed }: EventOf<'vram.sealed'>): string {
  if (packed === null) return '';
  const laidOut =
    `${counted(packed.tensors, 'tensor')} of ${counted(packed.files, 'file')} in ` +
    `${counted(packed.buffers, 'buffer')}`;
  return `: ${laidOut}, ${bytesInWords(packed.paddingBytes)} of padding`;
}

/** `"engine" (process 42, user 1000)`. */
function clientInWords({
  client,
  pid,
  uid,
}: EventOf<'shard.lent' | 'lease.revoked' | 'lease.ended' | 'guard.claimed'>): string {
  return `"${named(client)}" (process ${pid ?? 'unknown'}, user ${uid})`;
}

const REVOKED: Readonly<Record<RevokeReason, string>> = {
  damaged: 'damaged bytes',
  released: 'the memory is about to be released',
  replaced: 'a new version replaced it',
  stopped: 'the worker stopped',
  'device-lost': 'the device was lost',
};

const ENDED: Readonly<Record<EventOf<'lease.ended'>['how'], string>> = {
  end: 'ended it',
  closed: 'disconnected',
  cut: 'broke the protocol and was disconnected',
};

/** `byte 5`, `byte 5 of the tensor "a"`, `byte 9 of the tensor "a" (padding after its last byte)`. */
function flippedByte({ byte, tensor, byteInTensor, padding }: EventOf<'drill.injected'>): string {
  if (tensor === undefined) return `byte ${byte}`;
  return `byte ${byteInTensor} of the tensor ${named(tensor)}${padding === true ? ' (padding after its last byte)' : ''}`;
}

/** `, in 3 tensors, the first "a"`; empty where none is known. */
function tensorsInWords(ranges: readonly DamagedRange[]): string {
  const names = new Set(ranges.flatMap(({ tensor }) => (tensor === undefined ? [] : [tensor])));
  const [first] = names;
  if (first === undefined) return '';
  return names.size === 1
    ? `, in the tensor ${named(first)}`
    : `, in ${names.size} tensors, the first ${named(first)}`;
}

/**
 * A verification fails because bytes did not arrive as read, two checks disagree, a sample cannot lift a quarantine,
 * the bytes are damaged, or a handle is not genuine.
 */
function verificationFailed(
  event: EventOf<'seal.verification_failed'>,
): Pick<Description, 'human' | 'storybook'> {
  const { code } = event.error;
  if (event.operation === 'seal') {
    const intended = code === 'SOURCE_MISMATCH' ? 'expected for' : 'read for';
    return {
      human: `The bytes on ${device(event)} are not those ${intended} ${shard(event)} (${code}); nothing was sealed.`,
      storybook: `The chest that came in was not the chest that was sent, so no wax was wasted on it.`,
    };
  }
  if (event.transient) {
    return {
      human: `Two checks of ${shard(event)} on ${device(event)} disagreed (${code}): neither clean nor proven damaged.`,
      storybook: `The lantern flickered; the keeper rubbed both eyes and will look again.`,
    };
  }
  if (code === 'INTEGRITY_VIOLATION' && event.damaged !== null && event.mode === 'sampled') {
    return {
      human: because(`A sample of ${shard(event)} was not enough`, event.error.message),
      storybook: `A few good stones do not open a door that was shut for a bad one.`,
    };
  }
  if (code === 'INTEGRITY_VIOLATION') {
    return {
      human: `${shard(event)} was found damaged on ${device(event)}${took(event)}: its bytes do not match its seal.`,
      storybook: `Something gnawed at the treasure in the dark.`,
    };
  }
  return {
    human: `A handle${event.shardId === null ? '' : ` for ${shard(event)}`} was refused with ${code}; nothing changed.`,
    storybook: `A stranger showed a key that was never cut here.`,
  };
}

function damagePlace(event: EventOf<'damage.located'>): string {
  const { damagedGroups, damaged, error } = event;
  const subject = `The damage in ${shard(event)} on ${device(event)}`;
  if (damagedGroups === 0)
    return because(`${subject} could not be located`, error?.message ?? 'every part matches');
  const groups = `${counted(damagedGroups, 'group')} of 512 KiB ${damagedGroups === 1 ? 'does' : 'do'} not match`;
  return `${subject} was located: ${groups}${tensorsInWords(damaged)}.`;
}

/** An execution within `maxAgeMs` of a verification relies on it and makes no new one. */
function ranOn(event: EventOf<'execution.finished'>): string {
  return event.verifiedMs === null
    ? `${shard(event)}, verified earlier,`
    : `the verified bytes of ${shard(event)}`;
}

/** One describer for each event type; null for events that only carry timing. */
const DESCRIBERS: Describers = {
  'operation.started': null,
  'operation.stage': null,
  'operation.finished': (event) =>
    event.error === null
      ? null
      : {
          action: FAILED_OPERATION[event.operation],
          level: event.error.kind === 'fatal' ? 'error' : 'warn',
          actor: 'manager',
          target: event.shardId ?? deviceTarget(event),
          human: because(`${attempt(event)} failed with ${event.error.code}`, event.error.message),
          storybook: `The keeper set out to ${event.operation}, and came home without having done it.`,
        },
  'manager.opened': (event) => ({
    action: 'manager_init',
    level: 'info',
    actor: 'manager',
    target: deviceTarget(event),
    human:
      `Worker ${worker(event)} opened ${device(event)} under policy ${event.policy}, key: ` +
      `${event.keyKind}${took(event)}.`,
    storybook: `${worker(event)} took the lantern, unlocked ${device(event)}, and began the watch.`,
  }),
  'device.opened': (event) => ({
    action: 'device_context_initialised',
    level: 'info',
    actor: 'device',
    target: deviceTarget(event),
    human:
      `${device(event)} (${named(event.device?.name ?? 'unnamed')}) passed its known-answer ` +
      `tests${took(event)}; memory class ${event.device?.residency ?? 'unknown'}.`,
    storybook: `The vault at ${device(event)} was asked riddles with known answers, and knew them all.`,
  }),
  'device.open_failed': (event) => ({
    action: 'device_context_initialised',
    level: 'error',
    actor: 'device',
    target: event.requested,
    human: because(`${named(event.requested)} could not be opened, ${event.error.code}`, event.error.message),
    storybook: `The keeper knocked at ${named(event.requested)}; nobody fit to keep treasure opened.`,
  }),
  'device.lost': (event) => ({
    action: 'device_lost',
    level: 'error',
    actor: 'device',
    target: deviceTarget(event),
    human: because(
      `${device(event)} was lost with ${counted(event.shards, 'sealed shard')}, now void`,
      event.reason,
    ),
    storybook: `The vault sank into the sea, and every seal in it is now only a story.`,
  }),
  'vram.allocated': (event) => ({
    action: 'vram_allocated',
    level: 'info',
    actor: 'device',
    target: shardTarget(event),
    human:
      `${bytesInWords(event.allocatedBytes)} allocated on ${device(event)} for ${shard(event)}${took(event)}; ` +
      `${free(event.availableBytes)}.`,
    storybook: `A chamber of ${bytesInWords(event.allocatedBytes)} was swept clean and made ready.`,
  }),
  'vram.allocation_failed': (event) => ({
    action: 'vram_allocation_failed',
    level: 'warn',
    actor: 'device',
    target: shardTarget(event),
    human:
      `${bytesInWords(event.requestedBytes)} could not be allocated on ${device(event)} (${event.error.code}); ` +
      `${free(event.availableBytes)}.`,
    storybook: `No chamber could be had in the vault, and the newcomer has to wait outside.`,
  }),
  'vram.deallocated': (event) => ({
    action: 'vram_deallocated',
    level: event.error === null ? 'info' : 'error',
    actor: 'device',
    target: shardTarget(event),
    human:
      event.error === null
        ? `${bytesInWords(event.freedBytes)} of ${shard(event)} ` +
          `${event.wiped ? 'overwritten with zeros and ' : ''}freed${took(event)}; ` +
          `${bytesInWords(event.usedBytes)} still in use.`
        : event.freedBytes === 0
          ? because(`${shard(event)} is still mapped by other processes`, event.error.message)
          : `${bytesInWords(event.freedBytes)} of ${shard(event)} were freed, perhaps not overwritten first ` +
            `(${event.error.code}).`,
    storybook:
      event.error === null
        ? `The chamber was scrubbed to bare stone, and its key hung back on the wall.`
        : `The chamber was handed back, and nobody can swear that it was scrubbed.`,
  }),
  'digest.computed': (event) => ({
    action: 'digest_computed',
    level: 'info',
    actor: event.where === 'device' ? 'device' : 'manager',
    target: shardTarget(event),
    human:
      event.where === 'device'
        ? `${device(event)} hashed ${bytesInWords(event.byteLength)} of ${shard(event)} in place${took(event)}.`
        : `The host hashed ${bytesInWords(event.byteLength)} of ${shard(event)} with the ${event.engine} ` +
          `engine${took(event)}.`,
    storybook: `Every leaf of the tree was read, and the tree's name was found again.`,
  }),
  'signature.generated': (event) => ({
    action: 'signature_generated',
    level: 'info',
    actor: 'manager',
    target: shardTarget(event),
    human: `The seal of ${shard(event)} was signed${took(event)}.`,
    storybook: `Hot wax, a ring, and the seal was pressed.`,
  }),
  'vram.sealed': (event) => ({
    action: 'model_sealed',
    level: 'info',
    actor: 'manager',
    target: shardTarget(event),
    human:
      `${shard(event)}, ${bytesInWords(event.byteLength)}, is sealed on ${device(event)} (${event.residency}, ` +
      `${event.immutability})${packedInWords(event)}${took(event)}.`,
    storybook: `The treasure sleeps in ${device(event)} behind an unbroken seal.`,
  }),
  'seal.verified': (event) => ({
    action: 'seal_verified',
    level: 'info',
    actor: 'manager',
    target: shardTarget(event),
    human:
      event.mode === 'sampled'
        ? `A sample of ${shard(event)} (${bytesInWords(event.byteLength)}) matches its seal on ` +
          `${device(event)}${took(event)}; the rest was not checked.`
        : `${shard(event)} is intact: ${bytesInWords(event.byteLength)} verified ` +
          `${event.mode === 'resident' ? 'in place' : 'by readback'} on ${device(event)}${took(event)}.`,
    storybook:
      event.mode === 'sampled'
        ? `The keeper held the lantern to a few blocks, taken by lot, and those were right.`
        : `The keeper held the lantern to every block; not a grain had moved.`,
  }),
  'seal.verification_failed': (event) => ({
    action: 'seal_verification_failed',
    level: event.error.code === 'INTEGRITY_VIOLATION' ? 'error' : 'warn',
    actor: 'manager',
    target: shardTarget(event),
    ...verificationFailed(event),
  }),
  'policy.violation': (event) => ({
    action: 'policy_violation',
    level: 'error',
    actor: 'policy',
    target: deviceTarget(event),
    human: because(
      `Policy ${event.policy} refuses ${device(event)}, class ${event.residency}`,
      event.violation,
    ),
    storybook: `The law of the vault says no, and the gate stays shut.`,
  }),
  'validation.failed': (event) => ({
    action: 'validation_failed',
    level: 'warn',
    actor: 'manager',
    target: event.argument ?? event.operation,
    human: because(`${attempt(event)} was refused`, event.error.message),
    storybook: `The form was filled in wrong, and the clerk handed it back.`,
  }),
  'capacity.queried': (event) => ({
    action: 'capacity_query',
    level: 'info',
    actor: 'manager',
    target: deviceTarget(event),
    human:
      `${device(event)}: ${bytesInWords(event.usedBytes)} used, ` +
      `${event.totalBytes === null ? 'total unknown' : `${bytesInWords(event.totalBytes)} in all`}, ` +
      `${free(event.availableBytes)} (source: ${event.source}).`,
    storybook: `The keeper counted the empty shelves.`,
  }),
  'shard.quarantined': (event) => ({
    action: 'shard_quarantined',
    level: 'error',
    actor: 'manager',
    target: shardTarget(event),
    human:
      `${shard(event)} is quarantined (${event.reason})` +
      `${event.leasesRevoked === 0 ? '' : `; ${counted(event.leasesRevoked, 'running lease')} revoked`}.`,
    storybook: `A red ribbon across the door: nobody reads from this chamber now.`,
  }),
  'damage.located': (event) => ({
    action: 'damage_located',
    level: 'error',
    actor: 'manager',
    target: shardTarget(event),
    human: damagePlace(event),
    storybook:
      event.damagedGroups === 0
        ? `The keeper searched every shelf and could not find the tooth marks.`
        : `The keeper found the tooth marks, and put chalk around them.`,
  }),
  'shard.healed': (event) => ({
    action: 'shard_healed',
    level: 'info',
    actor: 'manager',
    target: shardTarget(event),
    human:
      `${counted(event.healedBlocks, 'block')} of ${shard(event)}${tensorsInWords(event.healed)} repaired from ` +
      `${named(event.source)} and the whole shard verified again${took(event)}.`,
    storybook: `The mason cut new stones to the old drawing, and the wall stands as it stood.`,
  }),
  'heal.failed': (event) => ({
    action: 'shard_healed',
    level: 'error',
    actor: 'manager',
    target: shardTarget(event),
    human: because(`${shard(event)} could not be healed, ${event.error.code}`, event.error.message),
    storybook: `The stones the mason brought were not of this wall.`,
  }),
  'execution.finished': (event) => ({
    action: 'shard_executed',
    level: event.ok ? 'info' : 'warn',
    actor: 'manager',
    target: shardTarget(event),
    human: event.ok
      ? `Work ran on ${ranOn(event)}${took(event)}.`
      : `Work on ${shard(event)} failed${event.error === null ? '' : ` with ${event.error.code}`}${took(event)}.`,
    storybook: event.ok ? `The oracle spoke from an unbroken book.` : `The oracle fell silent halfway.`,
  }),
  'scrub.finished': (event) => ({
    action: 'shard_scrubbed',
    level: event.ok ? 'info' : 'error',
    actor: 'manager',
    target: shardTarget(event),
    human:
      `The background check of ${shard(event)} (${bytesInWords(event.byteLength)}) ` +
      `${event.ok ? 'found no difference' : 'found a difference'}${took(event)}.`,
    storybook: event.ok
      ? `The night watch went round, and all was well.`
      : `The night watch went round, and rang the bell.`,
  }),
  'shard.attested': (event) => ({
    action: 'shard_attested',
    level: 'info',
    actor: 'manager',
    target: shardTarget(event),
    human: `${shard(event)} was verified, and a residency statement for it was signed${took(event)}.`,
    storybook: `A letter with today's date: the treasure was seen, whole.`,
  }),
  'shard.lent': (event) => ({
    action: 'shard_lent',
    level: 'info',
    actor: 'manager',
    target: shardTarget(event),
    human: `${shard(event)} was lent to ${clientInWords(event)}, which may map ${bytesInWords(event.mappedBytes)}.`,
    storybook: `A neighbour was given a window onto the treasure, and asked not to reach in.`,
  }),
  'lease.revoked': (event) => ({
    action: 'lease_revoked',
    level: event.reason === 'damaged' || event.reason === 'device-lost' ? 'error' : 'info',
    actor: 'manager',
    target: shardTarget(event),
    human: because(
      `The lease of ${clientInWords(event)} on ${counted(event.shards, 'shard')} was revoked`,
      REVOKED[event.reason],
    ),
    storybook: `The keeper knocked at the neighbour's window: look away now.`,
  }),
  'lease.ended': (event) => ({
    action: 'lease_ended',
    level: event.how === 'cut' ? 'warn' : 'info',
    actor: 'manager',
    target: shardTarget(event),
    human:
      `The lease of ${clientInWords(event)} on ${counted(event.shards, 'shard')} ended${took(event)}: the client ` +
      `${ENDED[event.how]}.`,
    storybook: `The neighbour's window was bricked up again.`,
  }),
  'guard.claimed': (event) => ({
    action: 'guard_claimed',
    level: event.outcome === 'damaged' ? 'warn' : 'info',
    actor: 'manager',
    target: named(event.model),
    human:
      `The guard of ${clientInWords(event)} ` +
      `${event.outcome === null ? 'registered for' : `reports ${named(event.outcome)} for`} ` +
      `${named(event.model)}; this worker has not verified it.`,
    storybook: `The neighbour called over the fence what he had found in his own cellar.`,
  }),
  'drill.injected': (event) => ({
    action: 'drill_injected',
    level: 'warn',
    actor: 'manager',
    target: shardTarget(event),
    human: `Drill: bit ${event.bit} of ${flippedByte(event)} of ${shard(event)} is about to be flipped on purpose.`,
    storybook: `A mouse was let into the vault, to see whether the cat is awake.`,
  }),
  'close.failed': (event) => ({
    action: 'close_failed',
    level: 'warn',
    actor: 'manager',
    target: event.name,
    human: because(`The ${event.what} ${named(event.name)} could not be closed`, event.error.message),
    storybook: `A door did not fall shut behind the keeper, who noted which.`,
  }),
  'manager.stopped': (event) => ({
    action: 'manager_stopped',
    level: 'error',
    actor: 'manager',
    target: event.workerId,
    human: because(`Worker ${worker(event)} stopped sealing and executing`, event.reason),
    storybook: `The keeper put down the pen and barred the door.`,
  }),
  'manager.closed': (event) => ({
    action: 'manager_closed',
    level: 'info',
    actor: 'manager',
    target: event.workerId,
    human:
      `Worker ${worker(event)} closed${took(event)}; ` +
      (event.shardsReleased === 0
        ? 'no shard was live.'
        : `${counted(event.shardsReleased, 'live shard')} released.`),
    storybook: `The lantern is out; the vault is empty and clean.`,
  }),
};

/** Whether an event has no text, because it only carries timing or ends an operation that succeeded. */
export function isSilent(event: OperationEvent): boolean {
  return DESCRIBERS[event.type] === null || (event.type === 'operation.finished' && event.error === null);
}

/** The text of an event, or null if it has none. */
export function describe(event: OperationEvent): Description | null {
  // The table pairs every type with a describer for exactly that type, which indexing by a union cannot express.
  const describer = DESCRIBERS[event.type] as ((event: OperationEvent) => Description | null) | null;
  return describer === null ? null : describer(event);
}
