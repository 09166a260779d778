// What the walls forbid. Every finding names the rule and both files.
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';

/** Folders from the top room down to the file's own: `manager/state/core.ts` lies in `manager` and `manager/state`. */
export function roomsOf(file) {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}

/** The room a file lies in, the innermost one; files beside the rooms are the `entries`. */
export function roomOf(file) {
  return roomsOf(file).at(-1) ?? 'entries';
}

const topRoomOf = (file) => roomsOf(file)[0] ?? 'entries';

/**
 * Where a room stands: its floor, from the ground, and its place on it from the left. Rooms inside a room stand on one floor
 * of their own. Null for a room that the plan does not name.
 */
export function placeOf(plan, room) {
  const parent = posix.dirname(room);
  if (parent !== '.') {
    const place = plan.inside[parent]?.indexOf(room.slice(parent.length + 1)) ?? -1;
    return place < 0 ? null : { floor: 0, place };
  }
  for (const [floor, rooms] of plan.floors.entries()) {
    const place = rooms.indexOf(room);
    if (place >= 0) return { floor, place };
  }
  return null;
}

/**
 * Everything that breaks a wall, as `{ wall, from, to, text }`.
 * `plan` is rooms.json, `house` what readHouse() gives.
 */
export function brokenWalls(plan, house) {
  return [
    ...unknownRooms(plan, house),
    ...house.flatMap(({ file, imports }) => imports.flatMap((to) => brokenBy(plan, house, file, to))),
    ...house.flatMap((entry) => reachesNode(plan, entry)),
    ...circles(house),
  ];
}

function broken(wall, from, to, reason) {
  return { wall, from, to, text: `${from} -> ${to}: ${reason}` };
}

function unknownRooms(plan, house) {
  const rooms = new Set(house.flatMap(({ file }) => roomsOf(file)));
  return [...rooms]
    .filter((room) => placeOf(plan, room) === null)
    .map((room) => broken('plan', room, 'rooms.json', 'the plan does not name this room'));
}

function brokenBy(plan, house, from, to) {
  const found = [];
  const [source, target] = neighbours(from, to);
  if (target.room === null) {
    // A room uses a file that lies beside it, in the room around both.
    const problem = source.room === null ? null : groundProblem(house, to);
    if (problem !== null) found.push(broken('floors', from, to, problem));
  } else {
    if (source.room !== null && !isBelow(plan, target.room, source.room)) {
      found.push(broken('floors', from, to, `${target.room} is not below ${source.room}, nor to its left`));
    }
    if (!plan.open.includes(target.room) && to !== `${target.room}/index.ts`) {
      found.push(broken('doors', from, to, `${target.room} is entered through its index.ts alone`));
    }
  }
  return [...found, ...separated(plan, from, to)];
}

/** The rooms of two files, seen from the innermost folder that holds both; null for a file that lies in it directly. */
function neighbours(from, to) {
  const [a, b] = [from.split('/'), to.split('/')];
  let common = 0;
  while (common < a.length - 1 && common < b.length - 1 && a[common] === b[common]) common += 1;
  const under = (parts) => ({
    room: parts.length - 1 > common ? parts.slice(0, common + 1).join('/') : null,
  });
  return [under(a), under(b)];
}

function isBelow(plan, lower, upper) {
  const [a, b] = [placeOf(plan, lower), placeOf(plan, upper)];
  // A room that the plan does not name is a finding of its own.
  if (a === null || b === null) return true;
  return a.floor < b.floor || (a.floor === b.floor && a.place < b.place);
}

/** Why rooms must not stand on a file beside them; null where they may. */
function groundProblem(house, file) {
  const folder = posix.dirname(file);
  if (folder === '.') return 'nothing imports an entry';
  const above = reachedInside(house, file, folder).find((other) => posix.dirname(other) !== folder);
  return above === undefined ? null : `the rooms of ${folder} stand on it, yet it reaches ${above}`;
}

/** What a file reaches without leaving a folder. */
function reachedInside(house, file, folder) {
  const imports = new Map(house.map((entry) => [entry.file, entry.imports]));
  const reached = new Set();
  const open = [file];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    for (const to of imports.get(next) ?? []) {
      if (!to.startsWith(`${folder}/`) || reached.has(to)) continue;
      reached.add(to);
      open.push(to);
    }
  }
  return [...reached];
}

function separated(plan, from, to) {
  const [source, target] = [topRoomOf(from), topRoomOf(to)];
  if (source === target) return [];
  const found = [];
  const allowed = plan.importsOnly[source];
  if (allowed !== undefined && !allowed.includes(target)) {
    found.push(broken('apart', from, to, `${source} imports ${allowed.join(', ')} alone`));
  }
  const importers = plan.importedOnlyBy[target];
  if (importers !== undefined && !importers.includes(source)) {
    found.push(broken('apart', from, to, `only ${importers.join(', ')} import ${target}`));
  }
  return found;
}

function reachesNode(plan, { file, imports, external }) {
  const room = topRoomOf(file);
  if (!plan.portable.includes(room)) return [];
  return [
    ...external
      .filter((name) => isBuiltin(name) || !plan.portablePackages.includes(name))
      .map((name) => broken('portable', file, name, `${room} runs in pages too`)),
    ...imports
      .filter((to) => !plan.portable.includes(topRoomOf(to)))
      .map((to) => broken('portable', file, to, `${room} runs in pages too, ${topRoomOf(to)} does not`)),
  ];
}

/** Every circle of imports, as one finding that names all its files (Tarjan's strongly connected components). */
export function circles(house) {
  const imports = new Map(house.map(({ file, imports: to }) => [file, to]));
  const index = new Map();
  const low = new Map();
  const stack = [];
  const found = [];
  const visit = (file) => {
    index.set(file, index.size);
    low.set(file, index.get(file));
    stack.push(file);
    for (const to of imports.get(file) ?? []) {
      if (!index.has(to)) visit(to);
      if (stack.includes(to)) low.set(file, Math.min(low.get(file), low.get(to)));
    }
    if (low.get(file) !== index.get(file)) return;
    const members = stack.splice(stack.indexOf(file)).sort();
    if (members.length > 1 || imports.get(file)?.includes(file)) {
      found.push(broken('circle', members[0], members.at(-1), `a circle of ${members.join(', ')}`));
    }
  };
  for (const { file } of house) if (!index.has(file)) visit(file);
  return found;
}
