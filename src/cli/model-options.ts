import { type Command, Option } from 'commander';
import { invalidInput } from '../base/index.js';
import type { OpenModelOptions } from '../node/index.js';
import { parseBytes } from './options.js';

/** How a model's files are read and laid out: common to the commands that take models. */
export interface ModelOptions {
  readonly format?: Exclude<OpenModelOptions['format'], undefined>;
  readonly layout?: 'bytes' | 'tensors';
  readonly minBytes?: number;
}

/** `--format` and `--layout`. */
export function modelOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--format <format>',
        "how the files are read; default by the file's name, then by its first bytes",
      ).choices(['raw', 'safetensors', 'gguf', 'onnx']),
    )
    .addOption(
      new Option(
        '--layout <layout>',
        'bytes: each file as it is; tensors: the tensors of all files, each on blocks of its own',
      )
        .choices(['bytes', 'tensors'])
        .default('bytes'),
    );
}

/** `--min-bytes`: for the commands that seal. */
export function minBytesOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--min-bytes <bytes>',
      'with --layout tensors: smaller tensors share a buffer, and padding is accepted',
    ).argParser(parseBytes),
  );
}

export function formatOf({ format }: ModelOptions): OpenModelOptions {
  return format === undefined ? {} : { format };
}

/** Errors: INVALID_INPUT for an option without the layout that it is for. */
export function checkModelOptions({ layout, minBytes }: ModelOptions): void {
  if (minBytes !== undefined && layout !== 'tensors')
    throw invalidInput('min-bytes', 'needs --layout tensors');
}
