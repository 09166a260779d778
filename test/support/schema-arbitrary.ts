import fc from 'fast-check';

/** What is read of a JSON Schema (2020-12), as zod writes it. */
export interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: JsonSchema;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly propertyNames?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
}

/** Values that get further than arbitrary ones, by the name of the field that takes them. */
export type Hints = Readonly<Record<string, fc.Arbitrary<unknown>>>;

/** Short, whatever the schema allows: what long ones do is a matter of limits. */
const LONGEST = 24;
const FEW = 4;

/** Values that a schema allows. Errors: of a schema with a keyword that is not read here. */
export function allowedBy(schema: JsonSchema, hints: Hints = {}): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const options = schema.anyOf ?? schema.oneOf;
  if (options !== undefined) return fc.oneof(...options.map((one) => allowedBy(one, hints)));
  switch (schema.type) {
    case 'string':
      return strings(schema);
    case 'integer':
      return fc.integer({
        min: schema.minimum ?? -(2 ** 31),
        max: Math.min(schema.maximum ?? 2 ** 31, 2 ** 31 - 1),
      });
    case 'number':
      return fc.double({ min: schema.minimum ?? -1e9, max: schema.maximum ?? 1e9, noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array':
      return fc.array(allowedBy(schema.items ?? {}, hints), {
        maxLength: Math.min(schema.maxItems ?? FEW, FEW),
      });
    case 'object':
      return objects(schema, hints);
    case undefined:
      return fc.jsonValue({ maxDepth: 2 });
    default:
      throw new Error(`the generator knows no type ${schema.type}`);
  }
}

function strings({ pattern, minLength = 0, maxLength = LONGEST }: JsonSchema): fc.Arbitrary<string> {
  if (pattern === undefined) return fc.string({ minLength, maxLength: Math.min(maxLength, LONGEST) });
  const accepted = new RegExp(pattern, 'u');
  // fast-check writes no strings for classes of Unicode; all but a few short ones are of this class.
  return pattern.includes('\\p')
    ? fc.string({ minLength: 1, maxLength: LONGEST }).filter((text) => accepted.test(text))
    : fc.stringMatching(accepted);
}

function objects(
  { properties = {}, required = [], propertyNames, additionalProperties }: JsonSchema,
  hints: Hints,
): fc.Arbitrary<object> {
  const fields = Object.entries(properties).map(([name, schema]) => {
    const any = allowedBy(schema, hints);
    const hint = hints[name];
    return [name, hint === undefined ? any : fc.oneof(any, { weight: 3, arbitrary: hint })] as const;
  });
  const named = fc.record(Object.fromEntries(fields), { requiredKeys: [...required] });
  if (typeof additionalProperties !== 'object') return named;
  const others = fc.dictionary(strings(propertyNames ?? {}), allowedBy(additionalProperties, hints), {
    maxKeys: FEW,
  });
  return fc.tuple(others, named).map(([more, those]) => ({ ...more, ...those }));
}

const ODD = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 0, 2 ** 53, 1e308, '', '..', '\0', '\u202e', '__proto__', [], {}),
  fc.jsonValue({ maxDepth: 1 }),
);

/** A value that was allowed, with one thing in it changed, taken away or added. */
export function nearly(allowed: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const change = fc.record({
    way: fc.array(fc.nat(7), { minLength: 1, maxLength: 5 }),
    how: fc.constantFrom('replace', 'remove', 'add'),
    odd: ODD,
  });
  return fc.tuple(allowed, change).map(([value, { way, how, odd }]) => {
    const copy: unknown = structuredClone(value);
    return changed(copy, way, how, odd);
  });
}

function changed(value: unknown, [step = 0, ...way]: readonly number[], how: string, odd: unknown): unknown {
  if (typeof value !== 'object' || value === null) return odd;
  const names = Object.keys(value);
  const name = names[step % (names.length + 1)];
  if (name === undefined || how === 'add') return Array.isArray(value) ? [...value, odd] : { ...value, odd };
  if (way.length > 0) Reflect.set(value, name, changed(Reflect.get(value, name), way, how, odd));
  else if (how === 'remove') Reflect.deleteProperty(value, name);
  else Reflect.set(value, name, odd);
  return value;
}
