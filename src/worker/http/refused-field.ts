import type { z } from '../packages/index.js';

type Issue = z.core.$ZodIssue;

/** What a schema refuses first. */
export interface RefusedField {
  /** Its path, with dots; null for the value as a whole. */
  readonly field: string | null;
  readonly message: string;
}

/** The field to report. For a union zod names only the union itself, so this looks into the alternative that was meant. */
export function refusedField({ issues }: z.ZodError): RefusedField {
  const [first] = issues;
  if (first === undefined) return { field: null, message: 'cannot be used' };
  const { path, message } = withinUnion(first);
  return { field: path.length === 0 ? null : path.map(String).join('.'), message };
}

function withinUnion(issue: Issue): Pick<Issue, 'path' | 'message'> {
  if (issue.code !== 'invalid_union') return issue;
  const meant = meantAlternative(issue.errors);
  if (meant === null) return issue;
  const inner = withinUnion(meant);
  return { path: [...issue.path, ...inner.path], message: inner.message };
}

/**
 * The first issue of the alternative with the fewest. An alternative that refuses the value as a whole was not meant.
 * Null if none or several remain: then the value may have been meant for any of them.
 */
function meantAlternative(alternatives: readonly (readonly Issue[])[]): Issue | null {
  const meant = alternatives.filter(([first]) => first !== undefined && first.path.length > 0);
  const fewest = Math.min(...meant.map(({ length }) => length));
  const [only, another] = meant.filter(({ length }) => length === fewest);
  return another === undefined ? (only?.[0] ?? null) : null;
}
