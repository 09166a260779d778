import type { HouseFile } from './imports.mjs';

/** rooms.json. */
export interface Plan {
  /** Rooms of each floor, from the ground; on a floor from the left. */
  readonly floors: readonly (readonly string[])[];
  /** Rooms inside a room, from the left. */
  readonly inside: Readonly<Record<string, readonly string[]>>;
  /** Rooms that run in pages too, and the packages that these may import. */
  readonly portable: readonly string[];
  readonly portablePackages: readonly string[];
  /** Rooms without a door: each of their files may be imported. */
  readonly open: readonly string[];
  readonly importsOnly: Readonly<Record<string, readonly string[]>>;
  readonly importedOnlyBy: Readonly<Record<string, readonly string[]>>;
}

export interface BrokenWall {
  readonly wall: 'plan' | 'floors' | 'doors' | 'apart' | 'portable' | 'circle';
  readonly from: string;
  readonly to: string;
  /** Both files and the reason. */
  readonly text: string;
}

export function roomsOf(file: string): string[];
export function roomOf(file: string): string;
export function placeOf(plan: Plan, room: string): { readonly floor: number; readonly place: number } | null;
export function brokenWalls(plan: Plan, house: readonly HouseFile[]): BrokenWall[];
export function circles(house: readonly HouseFile[]): BrokenWall[];
