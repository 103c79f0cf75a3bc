import { settingRows } from '../config/environment.ts';
import type { Setting } from '../config/setting.ts';

/** Converts Markdown to plain text for a terminal. Removes backticks, and replaces each link by its text. */
const toPlainText = (markdown: string) => markdown.replaceAll('`', '').replaceAll(/\[([^\]]+)\]\([^)]*\)/g, '$1');

function formatSetting(name: string, { description, zeroIsOff, unit, ...row }: Setting): string {
  const value = row.defaultText ?? row.default ?? 'not set';
  const text = description + (zeroIsOff ? '; 0: off' : '');
  return `  ${name} (${toPlainText(value)}${row.default && unit ? ` ${unit}` : ''})\n      ${toPlainText(text)}`;
}

export const formatSettings = (): string => settingRows.map(([name, row]) => formatSetting(name, row)).join('\n');
