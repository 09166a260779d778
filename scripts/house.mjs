// npm run house: prints the rooms of src/ by floor, and every broken wall; the plan is scripts/house/rooms.json.
// Exit code 1 if a wall is broken. With --arrows, every arrow between rooms with the number of imports behind it.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readHouse } from './house/imports.mjs';
import { brokenWalls, placeOf, roomOf } from './house/walls.mjs';

const plan = JSON.parse(readFileSync(new URL('house/rooms.json', import.meta.url), 'utf8'));
const house = readHouse(fileURLToPath(new URL('../src/', import.meta.url)));

const rooms = new Map();
for (const { file, lines } of house) {
  const room = rooms.get(roomOf(file)) ?? { files: 0, lines: 0 };
  rooms.set(roomOf(file), { files: room.files + 1, lines: room.lines + lines });
}
const arrows = new Map();
for (const { file, imports } of house) {
  for (const to of imports) {
    if (roomOf(file) === roomOf(to)) continue;
    const arrow = `${roomOf(file)} -> ${roomOf(to)}`;
    arrows.set(arrow, (arrows.get(arrow) ?? 0) + 1);
  }
}

const figures = (room) => {
  const { files, lines } = rooms.get(room) ?? { files: 0, lines: 0 };
  return `${room.padEnd(22)}${String(files).padStart(4)} files ${String(lines).padStart(6)} lines`;
};
const inside = (room) => [...rooms.keys()].filter((name) => name.startsWith(`${room}/`)).sort(byPlace);
function byPlace(a, b) {
  return (placeOf(plan, a)?.place ?? 99) - (placeOf(plan, b)?.place ?? 99) || (a < b ? -1 : 1);
}

console.log('Rooms, from the top floor down; on a floor from the left to the right');
for (const [floor, names] of [...plan.floors.entries()].reverse()) {
  for (const [place, name] of names.entries()) {
    const runs = plan.portable.includes(name) ? 'pages too' : 'Node';
    console.log(`${(place === 0 ? String(floor) : '').padStart(3)}  ${figures(name)}  ${runs}`);
    for (const room of inside(name)) console.log(`       ${figures(room)}`);
  }
}
const strangers = [...rooms.keys()].filter((room) => placeOf(plan, room) === null && !room.includes('/'));
for (const room of strangers) console.log(`  ?  ${figures(room)}`);

const total = house.reduce((sum, { lines }) => sum + lines, 0);
const imports = [...arrows.values()].reduce((sum, count) => sum + count, 0);
console.log(`\n${rooms.size} rooms, ${house.length} files, ${total} lines`);
console.log(`${arrows.size} arrows between rooms, made of ${imports} imports`);
if (process.argv.includes('--arrows')) {
  for (const [arrow, count] of [...arrows].sort()) console.log(`  ${arrow} (${count})`);
}

const broken = brokenWalls(plan, house);
for (const wall of ['plan', 'floors', 'doors', 'apart', 'portable', 'circle']) {
  const found = broken.filter((finding) => finding.wall === wall);
  console.log(`${wall}: ${found.length === 0 ? 'no wall broken' : `${found.length} broken`}`);
  for (const { text } of found) console.log(`  ${text}`);
}
process.exitCode = broken.length === 0 ? 0 : 1;
