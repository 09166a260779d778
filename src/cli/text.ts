/** Makes foreign text harmless on a terminal: control, bidirectional and unpaired characters become escapes (IV-007). */
export function escapeForTerminal(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]|\p{Surrogate}/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `2.2 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit] ?? 'B'}`;
}

/** `2.2 MiB (2327524 bytes)`: a size that somebody may compare. */
export function formatSize(bytes: number): string {
  return bytes < 1024 ? formatBytes(bytes) : `${formatBytes(bytes)} (${bytes} bytes)`;
}

/** `1073741824 bytes (1.0 GiB)`, wherever a message of the library counts a MiB or more. */
export function withUnits(message: string): string {
  return message.replace(
    /\b(\d{7,16})( bytes| are available| are free)\b/g,
    (found, digits: string, after: string) => {
      const bytes = Number(digits);
      if (bytes < 1024 ** 2) return found;
      const size = `(${formatBytes(bytes)})`;
      return after === ' bytes' ? `${digits} bytes ${size}` : `${digits} ${size}${after}`;
    },
  );
}

/** `12.3 ms`, `4.56 s`. */
export function formatMs(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** `1.7 GB/s`; decimal units, as bandwidths are given. */
export function formatRate(bytes: number, ms: number): string {
  const perSecond = (bytes / Math.max(ms, 0.001)) * 1000;
  return perSecond >= 1e9 ? `${(perSecond / 1e9).toFixed(2)} GB/s` : `${(perSecond / 1e6).toFixed(0)} MB/s`;
}
