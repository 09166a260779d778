import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../../src/worker/http/document.js';
import { ROUTES } from '../../../src/worker/http/index.js';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const document: Json = JSON.parse(JSON.stringify(openApiDocument(ROUTES)));

function member(value: Json | undefined, key: string): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Reflect.get(value, key)
    : undefined;
}

function entries(value: Json | undefined): [string, Json][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

/** Every object in the document, with the keys that lead there. */
function* objects(value: Json, path: readonly string[] = []): Generator<[readonly string[], Json]> {
  if (typeof value !== 'object' || value === null) return;
  yield [path, value];
  for (const [key, inner] of Object.entries(value)) yield* objects(inner, [...path, key]);
}

const operations = entries(member(document, 'paths')).flatMap(([path, methods]) =>
  entries(methods).map(([method, operation]) => ({ path, method, operation })),
);

describe('the OpenAPI document', () => {
  it('is of version 3.1 and has every route, each operation with a name of its own', () => {
    expect(member(document, 'openapi')).toBe('3.1.0');
    expect(operations.map(({ path, method }) => `${method} ${path}`).sort()).toEqual(
      ROUTES.map(({ path, method }) => `${method} ${path}`).sort(),
    );
    const names = operations.map(({ operation }) => member(operation, 'operationId'));
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z][A-Za-z]+$/);
  });

  it('declares every parameter that a path has, and no other', () => {
    for (const { path, operation } of operations) {
      const declared = entries(member(operation, 'parameters'))
        .filter(([, one]) => member(one, 'in') === 'path')
        .map(([, one]) => `{${String(member(one, 'name'))}}`);
      expect(declared, path).toEqual(path.match(/\{\w+\}/g) ?? []);
    }
  });

  it('says what every operation answers, and what an error is', () => {
    for (const { path, operation } of operations) {
      expect(member(operation, 'summary'), path).toMatch(/\.$/);
      const answers = entries(member(operation, 'responses'));
      expect(answers.length, path).toBeGreaterThan(0);
      for (const [status, answer] of answers) {
        expect(status).toMatch(/^(?:[1-5]\d\d|default)$/);
        expect(member(answer, 'description'), path).toMatch(/\S/);
      }
      const isOpen = JSON.stringify(member(operation, 'security')) === '[]';
      expect(
        answers.some(([status]) => status === 'default'),
        path,
      ).toBe(!isOpen);
    }
  });

  it('refers to nothing that is not there', () => {
    let references = 0;
    for (const [path, value] of objects(document)) {
      const reference = member(value, '$ref');
      if (typeof reference !== 'string') continue;
      references += 1;
      const target = reference
        .slice(2)
        .split('/')
        .reduce<Json | undefined>((at, key) => member(at, key), document);
      expect(target, path.join('.')).toBeDefined();
    }
    expect(references).toBeGreaterThan(10);
    const schemes = entries(member(member(document, 'components'), 'securitySchemes')).map(([name]) => name);
    for (const { operation } of operations) {
      for (const [, one] of entries(member(operation, 'security'))) {
        for (const [name] of entries(one)) expect(schemes).toContain(name);
      }
    }
  });
});
