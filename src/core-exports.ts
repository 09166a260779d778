// What both entries export.
export type { CryptoProvider, Mac } from './crypto.js';
export type {
  Backend,
  BackendKind,
  ByteRange,
  CudaArgument,
  CudaBinding,
  CudaLaunch,
  CudaScratch,
  Device,
  DeviceBinding,
  DeviceInfo,
  HostBinding,
  Immutability,
  ResidencyFacts,
  WebGpuBinding,
} from './device/index.js';
export type { DigestEngine } from './digest/index.js';
export { type ErrorCode, type ErrorKind, type FatalScope, isVramError, VramError } from './errors.js';
export type { DamagedRange, EventOf, EventType, Observer, OperationEvent, VerifyMode } from './events.js';
export type {
  Capacity,
  Clock,
  CudaLease,
  ExecuteOptions,
  Execution,
  HealReport,
  HostLease,
  Lease,
  ManagerOptions,
  ManagerStatus,
  OperationOptions,
  Progress,
  ReleaseReport,
  SampleReport,
  Scrubber,
  ScrubEntry,
  ScrubOptions,
  SealOptions,
  SetReport,
  ShardHandle,
  TensorRange,
  TraceOptions,
  VerificationReport,
  VerifyOptions,
  WebGpuLease,
} from './manager/index.js';
export type { Policy, Residency } from './policy/index.js';
export { SealedShard, type SealedShardJson } from './seal/index.js';
export { bytesSource, type Source, streamSource } from './source/index.js';
