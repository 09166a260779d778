import { describe, expect, it } from 'vitest';
import type { ResidencyFacts } from '../../../src/device/index.js';
import { POLICIES } from '../../../src/policy/decide.js';
import {
  acceptedClasses,
  checkPolicy,
  decide,
  policyViolation,
  type Residency,
} from '../../../src/policy/index.js';
import { H100, WEBGPU } from './fixture.js';

describe('[VP-001] decision', () => {
  const classes: Residency[] = ['device-local', 'unified', 'unproven', 'host'];
  it.each([
    ['vram-only', ['device-local']],
    ['gpu', ['device-local', 'unified', 'unproven']],
    ['any', classes],
  ] as const)('%s accepts %j alone', (policy, accepted) => {
    expect(acceptedClasses(policy)).toEqual(accepted);
    for (const residency of classes) {
      const decision = decide(policy, residency, H100);
      expect(decision.accepted).toBe(accepted.some((one) => one === residency));
      expect(decision).toMatchObject({ policy, residency });
    }
  });

  it('[VP-005] vram-only refuses an override, whatever class it claims; other policies judge by class', () => {
    const facts = { ...H100, driverOverride: true };
    for (const residency of classes) {
      expect(decide('vram-only', residency, facts)).toMatchObject({
        accepted: false,
        why: expect.stringContaining('overridden'),
      });
    }
    expect(decide('gpu', 'unproven', facts).accepted).toBe(true);
    expect(decide('any', 'host', facts).accepted).toBe(true);
  });

  it('[VP-005] vram-only refuses replaced kernels of any class unless they are allowed; other policies do not', () => {
    const facts = { ...H100, kernelsReplaced: true };
    for (const residency of classes) {
      expect(decide('vram-only', residency, facts)).toMatchObject({
        accepted: false,
        why: expect.stringContaining('other kernels'),
      });
      const allowed = decide('vram-only', residency, facts, { allowReplacedKernels: true });
      expect(allowed.accepted).toBe(residency === 'device-local');
      expect(decide('any', residency, facts).accepted).toBe(true);
    }
    expect(
      decide('vram-only', 'device-local', { ...facts, driverOverride: true }, { allowReplacedKernels: true })
        .accepted,
    ).toBe(false);
  });

  it('a violation says what would help', () => {
    const facts: ResidencyFacts = { ...WEBGPU };
    const error = policyViolation(decide('vram-only', 'unproven', facts));
    expect(error).toMatchObject({ code: 'POLICY_VIOLATION', kind: 'fatal', scope: 'manager' });
    expect(error.message).toContain('"gpu"');
    expect(policyViolation(decide('gpu', 'host', facts)).message).toContain('"any"');
    const overridden = policyViolation(
      decide('vram-only', 'device-local', { ...H100, driverOverride: true }),
    );
    expect(overridden.message).toContain('remove the override');
    expect(POLICIES).toEqual(['vram-only', 'gpu', 'any']);
  });
});

describe('[VP-007] policies', () => {
  it('are refused by name unless they are one of the three', () => {
    for (const policy of ['vram-only', 'gpu', 'any']) expect(checkPolicy('policy', policy)).toBe(policy);
    for (const policy of ['', 'VRAM-ONLY', null, undefined, 1, ['any']]) {
      expect(() => checkPolicy('policy', policy)).toThrow(/^"policy" must be one of vram-only, gpu, any/);
    }
  });
});
