import { fileSettings } from './environment.ts';
import { readText } from './read-text.ts';

type Settings = Record<string, string | undefined>;

/**
 * Replaces each setting `NAME_FILE` by `NAME`, whose value is the text of the file without trailing line ends. The files
 * are read only once, so a changed file takes effect at the next start.
 */
export function readSettingFiles(given: Settings): { settings: Settings; mistakes: string[] } {
  const settings = { ...given };
  const mistakes: string[] = [];
  for (const name of fileSettings) {
    const file = `${name}_FILE`;
    const path = given[file];
    delete settings[file];
    if (path === undefined) continue;
    if (path === '') mistakes.push(`${file}: must be the path of a file`);
    else if (given[name] !== undefined) mistakes.push(`${file}: ${name} is set, too; set only one of them`);
    else {
      try {
        settings[name] = readText(path);
      } catch (error) {
        mistakes.push(`${file}: ${path} ${(error as Error).message}`);
      }
    }
  }
  return { settings, mistakes };
}
