import type { DriverArgument, EmulatorConfig, EmulatorControl } from './emulator-control.js';

export const ILLEGAL_ADDRESS = 700;

export type KernelArgument = { readonly u64: bigint } | { readonly u32: number } | { readonly f32: number };

/** Driver calls as a program would make them, for tests of the emulator itself. */
export class Session {
  readonly control: EmulatorControl;
  readonly context: bigint;

  constructor(control: EmulatorControl, config?: EmulatorConfig) {
    this.control = control;
    control.reset(config);
    this.do('cuInit', 0);
    this.context = this.make('cuDevicePrimaryCtxRetain', 0);
    this.do('cuCtxSetCurrent', this.context);
  }

  call(name: string, ...args: DriverArgument[]): number {
    return this.control.call(name, ...args);
  }

  /** A call that must succeed. */
  do(name: string, ...args: DriverArgument[]): void {
    const result = this.control.call(name, ...args);
    if (result !== 0) throw new Error(`${name}: ${result} ${this.control.lastFault()}`);
  }

  /** A call whose first argument is where it puts a handle or an address. */
  make(name: string, ...args: DriverArgument[]): bigint {
    const out = new BigUint64Array(1);
    this.do(name, out, ...args);
    return out[0] ?? 0n;
  }

  allocate(bytes: number | Uint8Array): bigint {
    if (typeof bytes === 'number') return this.make('cuMemAlloc_v2', bytes);
    const address = this.make('cuMemAlloc_v2', bytes.length);
    this.do('cuMemcpyHtoD_v2', address, bytes, bytes.length);
    return address;
  }

  read(address: bigint, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.do('cuMemcpyDtoH_v2', bytes, address, length);
    return bytes;
  }

  counter(address: bigint): bigint {
    return new DataView(this.read(address, 8).buffer).getBigUint64(0, true);
  }

  load(ptx: string): bigint {
    return this.make('cuModuleLoadData', ptx);
  }

  /** Enqueues; the CUresult of the launch call. */
  launch(
    module: bigint,
    entry: string,
    grid: number,
    block: number,
    args: readonly KernelArgument[],
    stream: bigint | null = null,
  ): number {
    const kernel = this.make('cuModuleGetFunction', module, entry);
    const cells = args.map((arg) => {
      const cell = new Uint8Array(8);
      const view = new DataView(cell.buffer);
      if ('u64' in arg) view.setBigUint64(0, arg.u64, true);
      else if ('u32' in arg) view.setUint32(0, arg.u32, true);
      else view.setFloat32(0, arg.f32, true);
      return cell;
    });
    const pointers = BigUint64Array.from(cells.map((cell) => this.control.addressOf(cell)));
    const shape = [grid, 1, 1, block, 1, 1, 0];
    const result = this.call('cuLaunchKernel', kernel, ...shape, stream, pointers, null);
    // The cells were read by the call; until here they must not be collected.
    return cells.length === args.length ? result : -1;
  }

  /** Launches, waits, and gives the CUresult of the wait. */
  run(module: bigint, entry: string, grid: number, block: number, args: readonly KernelArgument[]): number {
    const launched = this.launch(module, entry, grid, block, args);
    return launched === 0 ? this.call('cuCtxSynchronize') : launched;
  }
}

/** A kernel around PTX statements: `%rd1` = the first parameter (an address), `%r1` = the thread's index in its block. */
export function kernel(body: string, parameters = 1): string {
  const names = Array.from({ length: parameters }, (_, k) => `.param .u64 p${k}`);
  const loads = Array.from({ length: parameters }, (_, k) => `ld.param.u64 %rd${k + 1}, [p${k}];`);
  return `.version 8.0
.target sm_75
.address_size 64
.visible .entry test(${names.join(', ')})
{
  .reg .pred %p<8>;
  .reg .b16 %rs<8>;
  .reg .b32 %r<64>;
  .reg .f32 %f<16>;
  .reg .b64 %rd<32>;
  ${loads.join('\n  ')}
  mov.u32 %r1, %tid.x;
${body}
  ret;
}
`;
}
