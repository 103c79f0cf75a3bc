import { computeEditDistance } from '../core/edit-distance.ts';
import { settingNames, settingRows } from './environment.ts';

/**
 * Shorter setting names, such as PORT, are not suggested, because they resemble the names of too many other variables.
 */
const minLength = 6;
/** A setting name of at least this length is recognised even with two typing mistakes. */
const longLength = 16;

const formerNames = new Map(settingRows.flatMap(([name, { formerName }]) => (formerName ? [[formerName, name]] : [])));

/** The current and former names of all settings, each with the current name of the setting. */
const candidates = [...settingNames.map((name) => [name, name] as const), ...formerNames]
  .filter(([name]) => name.length >= minLength)
  .map(([name, setting]) => ({ name: normalize(name), setting }));

/** Removes the separators, so that `databaseUrl` is recognised, too. */
function normalize(name: string): string {
  return name.replaceAll(/[-_.]/g, '').toUpperCase();
}

/** Counts the typing mistakes that turn one name into the other. Two swapped letters count as one mistake. */
function countMistakes(given: string, name: string): number {
  if (Math.abs(given.length - name.length) > 2) return Infinity;
  return hasSwappedNeighbours(given, name) ? 1 : computeEditDistance(given, name);
}

function hasSwappedNeighbours(given: string, name: string): boolean {
  if (given.length !== name.length) return false;
  const at = [...name].findIndex((letter, index) => letter !== given[index]);
  return at >= 0 && given === name.slice(0, at) + name[at + 1] + name[at] + name.slice(at + 2);
}

/** Returns the setting that the variable was probably meant to be. */
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

/**
 * Recognizes a variable that Kubernetes sets for a Service, such as `REDIS_PORT=tcp://…`. It is not a misspelt setting.
 */
const isServiceLink = (value: string) => /^(tcp|udp|sctp):\/\//.test(value);

/**
 * Returns a warning for each variable whose name is similar to that of a setting. Otherwise the node would silently
 * ignore a misspelt setting.
 */
export function findMisspeltSettings(env: Record<string, string | undefined>): string[] {
  return Object.entries(env).flatMap(([name, value = '']) => {
    if (value === '' || isServiceLink(value) || settingNames.includes(name)) return [];
    const setting = suggestSetting(name);
    return setting === undefined ? [] : [`${name} is not a setting; did you mean ${setting}?`];
  });
}
