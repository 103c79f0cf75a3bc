import { computeEditDistance } from '../core/edit-distance.ts';
import { settingNames, settingRows } from './settings.ts';

/** Shorter names, such as PORT, resemble too many others. */
const minLength = 6;
/** From this length on, two mistakes leave no doubt. */
const longLength = 16;

const formerNames = new Map(settingRows.flatMap(([name, { formerName }]) => (formerName ? [[formerName, name]] : [])));

/** Every name that a variable may have been meant to be, and the setting that it stands for now. */
const candidates = [...settingNames.map((name) => [name, name] as const), ...formerNames]
  .filter(([name]) => name.length >= minLength)
  .map(([name, setting]) => ({ name: normalize(name), setting }));

/** Without separators, so that `databaseUrl` is recognised, too. */
function normalize(name: string): string {
  return name.replaceAll(/[-_.]/g, '').toUpperCase();
}

/** How many mistakes lead from one name to the other; two swapped neighbours are one. */
function countMistakes(given: string, name: string): number {
  if (Math.abs(given.length - name.length) > 2) return Infinity;
  return hasSwappedNeighbours(given, name) ? 1 : computeEditDistance(given, name);
}

function hasSwappedNeighbours(given: string, name: string): boolean {
  if (given.length !== name.length) return false;
  const at = [...name].findIndex((letter, index) => letter !== given[index]);
  return at >= 0 && given === name.slice(0, at) + name[at + 1] + name[at] + name.slice(at + 2);
}

/** The setting that a variable was probably meant to be. */
export function suggestSetting(variable: string): string | undefined {
  const given = normalize(variable);
  let best: { mistakes: number; setting: string } | undefined;
  for (const { name, setting } of candidates) {
    const mistakes = countMistakes(given, name);
    if (mistakes <= (name.length < longLength ? 1 : 2) && mistakes < (best?.mistakes ?? Infinity)) {
      best = { mistakes, setting };
    }
  }
  return best?.setting;
}

/** Kubernetes sets `NAME_PORT=tcp://…` for each Service, whatever its name is. */
const isServiceLink = (value: string) => /^(tcp|udp|sctp):\/\//.test(value);

/** A warning for each variable that is nearly a setting; the node would start without it and say nothing. */
export function findMisspeltSettings(env: Record<string, string | undefined>): string[] {
  return Object.entries(env).flatMap(([name, value = '']) => {
    if (value === '' || isServiceLink(value) || settingNames.includes(name)) return [];
    const setting = suggestSetting(name);
    return setting === undefined ? [] : [`${name} is not a setting; did you mean ${setting}?`];
  });
}
