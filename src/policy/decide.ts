import { checkOneOf, VramError } from '../base/index.js';
import type { ResidencyFacts } from '../device/index.js';
import { classify, type Residency } from './classify.js';

/** Which residency classes are accepted. `vram-only` is the default. */
export type Policy = 'vram-only' | 'gpu' | 'any';

const ACCEPTED: Readonly<Record<Policy, readonly Residency[]>> = {
  'vram-only': ['device-local'],
  gpu: ['device-local', 'unified', 'unproven'],
  any: ['device-local', 'unified', 'unproven', 'host'],
};

export const POLICIES: readonly Policy[] = ['vram-only', 'gpu', 'any'];

/** The classes that a policy accepts. */
export function acceptedClasses(policy: Policy): readonly Residency[] {
  return ACCEPTED[policy];
}

/** Errors: INVALID_INPUT. */
export function checkPolicy(argument: string, value: unknown): Policy {
  return checkOneOf(argument, value, POLICIES);
}

export interface Decision {
  readonly accepted: boolean;
  readonly policy: Policy;
  readonly residency: Residency;
  /** One sentence: why it is accepted or refused. */
  readonly why: string;
}

/** Further options of a decision. */
export interface DecideOptions {
  /** Allow replaced kernels to verify, also under `vram-only`. Default false. */
  readonly allowReplacedKernels?: boolean | undefined;
}

/**
 * Whether weights may live on a device of this class. `vram-only` refuses forced mock mode and a driver path override,
 * whatever class they claim, because neither belongs in production. It also refuses replaced kernels, whose results prove
 * nothing, unless code allows them.
 */
export function decide(
  policy: Policy,
  residency: Residency,
  facts: ResidencyFacts,
  { allowReplacedKernels = false }: DecideOptions = {},
): Decision {
  const refusal = policy === 'vram-only' ? overrideRefused(facts, allowReplacedKernels) : null;
  if (refusal !== null) return { accepted: false, policy, residency, why: refusal };
  const { why } = classify(facts);
  return { accepted: ACCEPTED[policy].includes(residency), policy, residency, why };
}

function overrideRefused(facts: ResidencyFacts, allowReplacedKernels: boolean): string | null {
  if (facts.driverOverride)
    return 'mock mode is forced or the driver path is overridden, which vram-only never allows';
  if (facts.kernelsReplaced && !allowReplacedKernels)
    return 'other kernels than those of this package are loaded, which vram-only allows with allowReplacedKernels alone';
  return null;
}

/** POLICY_VIOLATION for a decision that refuses. */
export function policyViolation(decision: Decision): VramError {
  const wider = POLICIES.find((policy) => ACCEPTED[policy].includes(decision.residency));
  const help =
    decision.policy === wider || wider === undefined
      ? 'remove the override'
      : `choose another device, or the policy "${wider}" if that is what you want`;
  return new VramError(
    'POLICY_VIOLATION',
    `policy "${decision.policy}" does not accept residency class "${decision.residency}": ${decision.why}; ${help}`,
  );
}
