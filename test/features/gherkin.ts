import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import {
  CucumberExpression,
  ParameterType,
  type ParameterTypeRegistry,
} from '@cucumber/cucumber-expressions';
import { AstBuilder, compile, GherkinClassicTokenMatcher, Parser } from '@cucumber/gherkin';
import { IdGenerator, type Pickle } from '@cucumber/messages';

/** A scenario as it runs: outlines are filled in, the background comes first. */
export interface Scenario {
  readonly name: string;
  /** Requirement ids among its tags, without the at sign. */
  readonly requirements: readonly string[];
  readonly steps: readonly { readonly text: string; readonly rows: readonly (readonly string[])[] }[];
}

export interface Feature {
  readonly file: string;
  readonly name: string;
  readonly scenarios: readonly Scenario[];
}

/** Reads a .feature file. Throws for what is not Gherkin, and for a feature without scenarios. */
export function readFeature(path: string): Feature {
  const newId = IdGenerator.incrementing();
  const document = new Parser(new AstBuilder(newId), new GherkinClassicTokenMatcher()).parse(
    readFileSync(path, 'utf8'),
  );
  const scenarios = compile(document, path, newId).map(scenarioOf);
  if (scenarios.length === 0 || document.feature === undefined) throw new Error(`${path} holds no scenario`);
  return { file: basename(path), name: document.feature.name, scenarios };
}

const REQUIREMENT_TAG = /^@([A-Z]{2}-[0-9]{3})$/;

function scenarioOf({ name, tags, steps }: Pickle): Scenario {
  return {
    name,
    requirements: tags.flatMap((tag) => REQUIREMENT_TAG.exec(tag.name)?.[1] ?? []),
    steps: steps.map(({ text, argument }) => ({
      text,
      rows: argument?.dataTable?.rows.map(({ cells }) => cells.map(({ value }) => value)) ?? [],
    })),
  };
}

/** What a step's text gives to its definition. */
export class StepArguments {
  readonly #values: readonly unknown[];
  /** Rows of the step's table below its heading. */
  readonly rows: readonly (readonly string[])[];

  constructor(values: readonly unknown[], rows: readonly (readonly string[])[]) {
    this.#values = values;
    this.rows = rows.slice(1);
  }

  text(index: number): string {
    const value = this.#values[index];
    if (typeof value !== 'string') throw new Error(`argument ${index} of this step is not text`);
    return value;
  }

  number(index: number): number {
    const value = this.#values[index];
    if (typeof value !== 'number') throw new Error(`argument ${index} of this step is not a number`);
    return value;
  }
}

export type StepBody<W> = (world: W, values: StepArguments) => void | Promise<void>;

export interface MatchedStep<W> {
  readonly text: string;
  /** The expression of the definition that fits. */
  readonly definition: string;
  run(world: W): Promise<void>;
}

/** Step definitions. Exactly one must fit a step. */
export class StepBook<W> {
  readonly #definitions: { readonly expression: CucumberExpression; readonly body: StepBody<W> }[] = [];
  readonly #parameters: ParameterTypeRegistry;

  constructor(parameters: ParameterTypeRegistry) {
    this.#parameters = parameters;
  }

  get expressions(): readonly string[] {
    return this.#definitions.map(({ expression }) => expression.source);
  }

  /** Defines a step by a Cucumber expression. */
  define(expression: string, body: StepBody<W>): void {
    this.#definitions.push({ expression: new CucumberExpression(expression, this.#parameters), body });
  }

  /** Throws for a step that no definition fits, and for one that several fit. */
  match(step: Scenario['steps'][number]): MatchedStep<W> {
    const fitting = this.#definitions.flatMap(({ expression, body }) => {
      const found = expression.match(step.text);
      return found === null
        ? []
        : [{ expression, body, values: found.map((value) => value.getValue<unknown>(null)) }];
    });
    const [only, second] = fitting;
    if (only === undefined) throw new Error(`undefined step: ${step.text}`);
    if (second !== undefined) {
      throw new Error(
        `ambiguous step: ${step.text}\n${fitting.map((fit) => fit.expression.source).join('\n')}`,
      );
    }
    return {
      text: step.text,
      definition: only.expression.source,
      run: async (world) => {
        try {
          await only.body(world, new StepArguments(only.values, step.rows));
        } catch (error) {
          throw new Error(
            `in the step "${step.text}": ${error instanceof Error ? error.message : String(error)}`,
            {
              cause: error,
            },
          );
        }
      },
    };
  }
}

/** A parameter that is one of some phrases. */
export function phraseParameter(name: string, phrases: readonly string[]): ParameterType<string> {
  const escaped = phrases.map((phrase) => phrase.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new ParameterType(name, new RegExp(escaped.join('|')), null, (text: string) => text, false, false);
}
