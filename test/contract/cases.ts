export { contractCases } from './cases/index.js';
export type { ContractCase, ContractContext, ContractTarget, Oracle } from './context.js';
export type { ContractOutcome } from './run.js';
export { ContractRun } from './run.js';
