// node scripts/performance-drawing.mjs: draws docs/performance.svg from docs/performance.json, which `vram-residency bench
// --json` wrote: one bar for each row, its quartiles as a line, on a logarithmic scale around 1. Longer bars end at the
// scale's border; the figure beside them is exact.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const WIDTH = 820;
const ROW = 40;
const TOP = 56;
const LEFT = 20;
/** Where a ratio of 1 stands, and how wide a factor of two is. */
const ONE = 540;
const OCTAVE = 62;
const TICKS = [1 / 4, 1 / 2, 1, 2, 4, 8];

/** The drawing of a document of `bench --json`, as SVG. Colours follow the reader's light or dark scheme. */
export function drawing({ machine, pairs }) {
  const height = TOP + pairs.length * ROW + 34;
  const bottom = TOP + pairs.length * ROW;
  const ticks = TICKS.map((tick) => {
    const label = tick < 1 ? `1/${1 / tick}` : String(tick);
    return `<line class="${tick === 1 ? 'one' : 'tick'}" x1="${x(tick)}" x2="${x(tick)}" y1="${TOP - 8}" y2="${bottom}"/>
<text class="axis" x="${x(tick)}" y="${bottom + 18}" text-anchor="middle">${label}</text>`;
  });
  const rows = pairs.map(({ ours, peer, ratio, ratioLow, ratioHigh }, index) => {
    const y = TOP + index * ROW;
    const [from, to] = [Math.min(ONE, x(ratio)), Math.max(ONE, x(ratio))];
    return `<text x="${LEFT}" y="${y + 13}">${escaped(ours)}</text>
<text class="peer" x="${LEFT}" y="${y + 28}">against ${escaped(peer)}</text>
<rect class="${ratio >= 1 ? 'faster' : 'slower'}" x="${from}" y="${y + 6}" width="${round(to - from)}" height="16"/>
<line class="spread" x1="${x(ratioLow)}" x2="${x(ratioHigh)}" y1="${y + 14}" y2="${y + 14}"/>
<text class="ratio" x="${WIDTH - LEFT}" y="${y + 19}" text-anchor="end">${ratio.toFixed(2)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img">
<title>Ratios of vram-residency bench: peer's time over ours, above 1 ours is faster</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.peer, .axis { fill: #59636e; font-size: 11px; }
.ratio { font-weight: 600; }
.background { fill: #ffffff; }
.tick { stroke: #d1d9e0; } .one { stroke: #59636e; }
.faster { fill: #1a7f37; } .slower { fill: #bc4c00; }
.spread { stroke: #1f2328; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc; } .peer, .axis { fill: #9198a1; } .background { fill: #0d1117; }
.tick { stroke: #3d444d; } .one { stroke: #9198a1; }
.faster { fill: #3fb950; } .slower { fill: #db6d28; } .spread { stroke: #f0f6fc; }
}
</style>
<rect class="background" width="${WIDTH}" height="${height}"/>
<text x="${LEFT}" y="22">Peer's time / ours: above 1 ours is faster. Bars are medians, lines quartiles.</text>
<text class="peer" x="${LEFT}" y="38">${escaped(machine)}</text>
${ticks.join('\n')}
${rows.join('\n')}
</svg>
`;
}

function x(ratio) {
  const from = ONE + Math.log2(TICKS.at(0)) * OCTAVE;
  const to = ONE + Math.log2(TICKS.at(-1)) * OCTAVE;
  return round(Math.min(to, Math.max(from, ONE + Math.log2(ratio) * OCTAVE)));
}

function round(value) {
  return Math.round(value * 10) / 10;
}

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = (name) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
  writeFileSync(file('performance.svg'), drawing(JSON.parse(readFileSync(file('performance.json'), 'utf8'))));
}
