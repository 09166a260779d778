export function readRequirements(bytes: Uint8Array): {
  readonly needed: readonly string[];
  readonly versions: readonly { readonly library: string; readonly version: string }[];
};
