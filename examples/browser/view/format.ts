const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;

/** A whole number with its thousands apart: 10,760. Not by Intl, whose first use costs a page some 20 ms. */
export function grouped(value: number): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${grouped(value)} ${value === 1 ? one : many}`;
}

/** Decimal units, as files are sold: 10.8 MB. */
export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1_000 && unit < UNITS.length - 1) {
    size /= 1_000;
    unit += 1;
  }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  return `${size.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

/** The bytes that a check read back from the device; empty for the host device, which reads none back. */
export function cameBack(readbackBytes: number | null): string {
  return readbackBytes === null ? '' : `${bytes(readbackBytes)} came back`;
}

export function duration(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}

/** Bytes per second over `ms`. */
export function rate(value: number, ms: number): string {
  return `${bytes((value / Math.max(ms, 0.001)) * 1_000)}/s`;
}

/** The clock of an RFC 3339 time, in the visitor's zone. */
export function clock(at: string): string {
  const time = new Date(at);
  const parts = [time.getHours(), time.getMinutes(), time.getSeconds()];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}
