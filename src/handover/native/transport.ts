import { checkInteger, invalidInput, VramError } from '../../base/index.js';
import { type Addon, type DescriptorHandle, exportMemory, type SharedMemory } from '../../device/index.js';
import { loadAddon } from '../../node/index.js';
import type { Handover, ListenOptions, ShareConnection, ShareListener, ShareTransport } from '../port.js';
import {
  hasSockets,
  type NativeEvent,
  type NativePeer,
  type SocketAddon,
  type SocketsHandle,
} from './addon.js';
import { type ConnectionOwner, NativeConnection } from './connection.js';
import { socketFailure } from './failures.js';
import { NativeHandover } from './handover.js';
import { checkSocketPlace } from './socket-place.js';

const MODES = [0o600, 0o660] as const;
const MAX_GROUP = 2 ** 32 - 2;
const MAX_LINE_BYTES = 2 ** 20;

let transport: Promise<ShareTransport> | undefined;

/**
 * The transport over this package's addon, one for each process, since it has its own thread. Errors: DEVICE_UNAVAILABLE
 * where there is no addon for this machine, with what would help.
 */
export function openAddonTransport(): Promise<ShareTransport> {
  transport ??= loadAddon()
    .then(addonTransport)
    .catch((error: unknown) => {
      transport = undefined;
      throw error;
    });
  return transport;
}

/** A transport over a loaded addon. Errors: DEVICE_UNAVAILABLE. */
export function addonTransport(addon: Addon): ShareTransport {
  if (hasSockets(addon)) return new AddonTransport(addon);
  throw new VramError(
    'DEVICE_UNAVAILABLE',
    'the addon belongs to another version of this package: it has no sockets; install the package again',
  );
}

class AddonTransport implements ShareTransport, ConnectionOwner {
  readonly addon: SocketAddon;
  readonly sockets: SocketsHandle;
  readonly #listeners = new Map<number, (connection: ShareConnection) => void>();
  readonly #open = new Map<number, NativeConnection>();
  /** Resolvers that wait for the process of a connection to end. */
  readonly #waiting = new Map<number, () => void>();
  /** All clients of a shard get the same manifest. */
  readonly #manifests = new WeakMap<Uint8Array, Promise<DescriptorHandle>>();

  constructor(addon: SocketAddon) {
    this.addon = addon;
    this.sockets = addon.openSockets(this.#onEvent);
  }

  async listen({
    path,
    mode,
    group,
    trustOwner,
    maxLineBytes,
    onConnection,
  }: ListenOptions): Promise<ShareListener> {
    if (!MODES.some((known) => known === mode)) throw invalidInput('mode', 'must be 0o600 or 0o660');
    if (group !== undefined) checkInteger('group', group, 0, MAX_GROUP);
    checkInteger('maxLineBytes', maxLineBytes, 1, MAX_LINE_BYTES);
    if (typeof onConnection !== 'function') throw invalidInput('onConnection', 'must be a function');
    await checkSocketPlace(path, trustOwner ?? null);
    const { addon, sockets } = this;
    let listener: number;
    try {
      listener = await addon.listenAt(sockets, path, mode, group ?? null, maxLineBytes);
    } catch (error) {
      throw socketFailure(error, 'the socket could not be made');
    }
    this.#listeners.set(listener, onConnection);
    return {
      close: async () => {
        addon.closeListener(sockets, listener);
        this.#listeners.delete(listener);
      },
    };
  }

  async prepare(memory: SharedMemory, manifest: Uint8Array): Promise<Handover> {
    if (!(manifest instanceof Uint8Array)) throw invalidInput('manifest', 'must be a Uint8Array');
    const { addon } = this;
    const file = await this.#sealed(manifest);
    return new NativeHandover(addon, await exportMemory(memory), addon.shareDescriptor(file));
  }

  exited(connection: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.set(connection, resolve);
      this.addon.watchPeer(this.sockets, connection);
    });
  }

  async #sealed(manifest: Uint8Array): Promise<DescriptorHandle> {
    const known = this.#manifests.get(manifest);
    if (known !== undefined) return await known;
    const sealed = this.addon.sealBytes(manifest);
    this.#manifests.set(manifest, sealed);
    try {
      return await sealed;
    } catch (error) {
      // The next client retries.
      this.#manifests.delete(manifest);
      throw socketFailure(error, 'the manifest could not be written to a memfd');
    }
  }

  readonly #onEvent = (...event: NativeEvent): void => {
    const [kind, id, value] = event;
    switch (kind) {
      case 'connected':
        this.#connected(id, value);
        break;
      case 'line':
        this.#open.get(id)?.deliver(value);
        break;
      case 'closed': {
        const connection = this.#open.get(id);
        this.#open.delete(id);
        connection?.ended(value);
        // Nothing waits for its process any more, so its record is not needed.
        if (!this.#waiting.has(id)) this.addon.forgetConnection(this.sockets, id);
        break;
      }
      case 'exited':
        this.#waiting.get(id)?.();
        this.#waiting.delete(id);
        if (!this.#open.has(id)) this.addon.forgetConnection(this.sockets, id);
        break;
    }
  };

  #connected(id: number, peer: NativePeer): void {
    const onConnection = this.#listeners.get(peer.listener);
    // Accepted while its listener was closing.
    if (onConnection === undefined) {
      this.addon.forgetConnection(this.sockets, id);
      return;
    }
    const connection = new NativeConnection(this, id, peer);
    this.#open.set(id, connection);
    onConnection(connection);
  }
}
