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
export {
  type AuditLog,
  type AuditLogOptions,
  type AuditRecord,
  type AuditSink,
  MemorySink,
} from './audit/index.js';
export {
  type Clock,
  type DamagedRange,
  type ErrorCode,
  type ErrorKind,
  type FatalScope,
  isVramError,
  type SampleReport,
  type SetReport,
  type VerificationReport,
  type VerifyMode,
  VramError,
} from './base/index.js';
export type { CryptoProvider, Mac, Signer } from './crypto/index.js';
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
  SkippedDevice,
  WebGpuBinding,
} from './device/index.js';
export {
  type AdapterFacts,
  adoptGpuDevice,
  type OpenOptions,
} from './device/index.js';
export type { DigestEngine } from './digest/index.js';
export type { EventOf, EventType, Observer, OperationEvent, TraceOptions } from './events/index.js';
export type {
  AttestOptions,
  Capacity,
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
  Scrubber,
  ScrubEntry,
  ScrubOptions,
  SealOptions,
  ShardHandle,
  TensorRange,
  VerifyOptions,
  WebGpuLease,
} from './manager/index.js';
export {
  bytesAccess,
  type ExpectedDigest,
  type ExpectedDigests,
  type FoundTensor,
  findTensor,
  type LeftOutTensor,
  type PackedFile,
  type PackedTensor,
  parseExpected,
  type RandomAccess,
  readGguf,
  readOnnx,
  readSafetensors,
  type TensorEntry,
  type TensorFile,
  type TensorIndex,
  type TensorManifest,
  type TensorModel,
  type TensorSource,
  type TensorSourceOptions,
  tensorRange,
  tensorSource,
} from './models/index.js';
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
export { bytesSource, type Source, streamSource, type UrlSourceOptions, urlSource } from './source/index.js';
export { type TelemetryOptions, telemetryObserver } from './telemetry/index.js';
