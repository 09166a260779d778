// node scripts/figures.mjs: checks docs/figures.md, which states the source of the figures in each section of the documents.
// Prints its findings, and exits 1 if there are any.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGE = 'docs/figures.md';
const FENCE = /^(```|~~~).*?^\1/gms;
/** Text between such markers is written and checked by another script. */
const GENERATED = /<!-- (?:made by .*?begin|\w+: made by .*?) -->.*?<!-- .*?end.*? -->/gs;
/** A number with a unit of time, rate, size or share. */
const UNIT = String.raw`(?:ms|s|ns|µs|GB\/s|MB\/s|kB|MB|GB|KiB|MiB|GiB|%)(?![\w-])`;
const WORD = '(?:microseconds?|seconds?|minutes?|hours?|times|a second)';
const FIGURE = new RegExp(String.raw`(?<![\w.-])\d[\d,.]*(?: ?${UNIT}| ${WORD})`, 'g');
const LINK = /\[[^\]]*\]\(([^)\s#]*)(#[^)\s]*)?\)/g;

/** For each of the page's sections, the check of a row: from its cells after "where" to findings. */
const CHECKS = new Map([
  ['From reports of hardware', reportFindings],
  ['Made anew by a command', commandFindings],
  ['Set by the code', codeFindings],
]);

/** The findings in the tree at `root`, one line each. */
export function findings(root) {
  const rows = rowsOf(readFileSync(join(root, PAGE), 'utf8'));
  const covered = new Set(rows.flatMap(({ where }) => linksIn(where)));
  const told = documents(root).flatMap((path) => sectionsWithFigures(root, path));
  return [
    ...told
      .filter(({ section }) => !covered.has(section))
      .map(
        ({ section, figures }) =>
          `${section} has the figures ${figures.join(', ')}, and ${PAGE} has no row for it`,
      ),
    ...[...covered]
      .filter((section) => !sectionExists(root, section))
      .map((section) => `${PAGE} has a row for ${section}, which does not exist`),
    ...rows.flatMap(({ where, cells, check }) =>
      check(root, where, ...cells).map((finding) => `${PAGE}, row ${where}: ${finding}`),
    ),
  ];
}

function rowsOf(text) {
  const rows = [];
  let check;
  for (const line of text.split('\n')) {
    if (line.startsWith('## ')) check = CHECKS.get(line.slice(3));
    const [, row] = /^\| (\[.*) \|$/.exec(line) ?? [];
    if (row === undefined || check === undefined) continue;
    const [where = '', ...cells] = row.split(' | ');
    rows.push({ where, cells, check });
  }
  return rows;
}

function documents(root) {
  const folders = ['docs', 'docs/decisions'].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => `${folder}/${name}`),
  );
  const pages = folders.filter((path) => path.endsWith('.md') && path !== PAGE);
  return ['README.md', 'SECURITY.md', ...pages];
}

/** Each section of a document with figures: its `path#anchor` and the figures. */
function sectionsWithFigures(root, path) {
  const figuresOf = new Map();
  let section = path;
  const prose = readFileSync(join(root, path), 'utf8').replace(FENCE, '').replace(GENERATED, '');
  for (const line of prose.split('\n')) {
    const [, heading] = /^#+ (.*)/.exec(line) ?? [];
    if (heading !== undefined) section = `${path}#${anchorOf(heading)}`;
    const figures = heading === undefined ? line.match(FIGURE) : null;
    if (figures !== null) figuresOf.set(section, [...(figuresOf.get(section) ?? []), ...figures]);
  }
  return [...figuresOf].map(([section, figures]) => ({ section, figures }));
}

/** The anchor that repository hosts derive from a heading. */
function anchorOf(heading) {
  const kept = heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '');
  return kept.replaceAll(' ', '-');
}

const linksIn = (cell) =>
  [...cell.matchAll(LINK)].map(([, path, anchor = '']) => normalize(join(dirname(PAGE), path)) + anchor);

function sectionExists(root, section) {
  const [path] = section.split('#');
  if (!existsSync(join(root, path))) return false;
  const headings = readFileSync(join(root, path), 'utf8').matchAll(/^#+ (.*)$/gm);
  return [...headings].some(([, heading]) => section === `${path}#${anchorOf(heading)}`);
}

const codesIn = (cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code);

/** Commands whose script or file is missing. A row without a command must say "by hand". */
function commandFindings(root, _where, from = '') {
  const codes = codesIn(from);
  if (codes.length === 0 && !/\bby hand\b/.test(from)) return ['names no command'];
  return codes.flatMap((code) => {
    const [program, ...words] = code.split(' ');
    if (program === 'npm') {
      const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
      return Object.hasOwn(scripts, words[1] ?? '') ? [] : [`there is no script ${words[1]}`];
    }
    if (program !== 'node' && program !== 'npx') return [];
    const files = words.filter((word) => /\.(?:mjs|ts)$/.test(word));
    if (files.length === 0) return [`${code} names no file`];
    return files.filter((path) => !existsSync(join(root, path))).map((path) => `there is no ${path}`);
  });
}

/** Lines of code that are missing from their file: `file`: `text`, `text`; `file`: `text`. */
function codeFindings(root, _where, from = '') {
  return from.split('; ').flatMap((part) => {
    const [path, ...texts] = codesIn(part);
    if (path === undefined) return [];
    if (texts.length === 0) return [`names no line of ${path}`];
    if (!existsSync(join(root, path))) return [`there is no ${path}`];
    const code = readFileSync(join(root, path), 'utf8');
    return texts.filter((text) => !code.includes(text)).map((text) => `${path} has no "${text}"`);
  });
}

/** Figures that the section lacks, or that no number of the step rounds to, as it is, in seconds or in per cent. */
function reportFindings(root, where, report = '', step = '', figures = '') {
  const [path] = linksIn(report);
  if (path === undefined || !existsSync(join(root, path))) return [`the report ${path} does not exist`];
  const { steps } = JSON.parse(readFileSync(join(root, path), 'utf8'));
  const numbers = numbersIn(steps.find((candidate) => candidate.step === step)?.figures);
  if (numbers.length === 0) return [`the report has no step ${step}`];
  const numbersTold = new Set(linksIn(where).flatMap((section) => numbersOf(textOf(root, section))));
  return figures.split(', ').flatMap((figure) => {
    const [digits = ''] = figure.split(' ');
    if (!numbersTold.has(digits)) return [`the section lacks ${figure}`];
    const half = 0.5 * 10 ** -(digits.split('.')[1]?.length ?? 0);
    const isThere = [1, 0.001, 100].some((unit) =>
      numbers.some((number) => Math.abs(number * unit - Number(digits)) <= half * 1.001),
    );
    return isThere ? [] : [`step ${step} of the report has no ${figure}`];
  });
}

/** Documents write thousands with commas; the page's rows do not. */
const numbersOf = (text) => text.replace(/(?<=\d),(?=\d{3})/g, '').match(/\d+(?:\.\d+)?/g) ?? [];

function textOf(root, section) {
  const [path] = section.split('#');
  const parts = readFileSync(join(root, path), 'utf8').split(/^(?=#+ )/m);
  return parts.find((part) => section === `${path}#${anchorOf(/^#+ (.*)/.exec(part)?.[1] ?? '')}`) ?? '';
}

/** All numbers of a step; a profiler's are strings with a unit. */
function numbersIn(figures) {
  if (typeof figures === 'number') return [figures];
  if (typeof figures === 'string') return /^[\d.]+ %$/.test(figures) ? [Number.parseFloat(figures)] : [];
  if (typeof figures !== 'object' || figures === null) return [];
  return Object.values(figures).flatMap(numbersIn);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = findings(fileURLToPath(new URL('..', import.meta.url)));
  for (const finding of found) console.log(finding);
  if (found.length > 0) process.exitCode = 1;
}
