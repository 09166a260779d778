// What both entries export.
export type {
  AttestationCheck,
  AttestationEnvelope,
  AttestationReport,
  AuditHeadProvider,
  AuditLogHead,
  ResidencyPredicate,
  ResidencyStatement,
} from './attest/index.js';
export type { CryptoProvider, Mac, Signer } from './crypto.js';
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
  AttestOptions,
  Capacity,
  Clock,
  CudaLease,
  DrillArea,
  DrillFlip,
  DrillOptions,
  DrillPattern,
  DrillReport,
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
export {
  consoleSink,
  type ExpectedNarration,
  NARRATED_ACTIONS,
  type NarratedAction,
  type Narration,
  NarrationCapture,
  type NarrationLevel,
  type NarrationOptions,
  type NarrationSink,
  narrationObserver,
} from './narration/index.js';
export type { Policy, Residency } from './policy/index.js';
export { SealedShard, type SealedShardJson } from './seal/index.js';
export { bytesSource, type Source, streamSource } from './source/index.js';
export {
  bytesAccess,
  type ExpectedDigest,
  type ExpectedDigests,
  type FoundTensor,
  findTensor,
  parseExpected,
  type RandomAccess,
  readGguf,
  readOnnx,
  readSafetensors,
  type TensorEntry,
  type TensorIndex,
  tensorRange,
} from './source/models.js';
export { type TelemetryOptions, telemetryObserver } from './telemetry/index.js';
export { type UrlSourceOptions, urlSource } from './web/url-source.js';
