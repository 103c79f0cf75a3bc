import { settingRows } from '../../src/config/environment.ts';
import type { Setting } from '../../src/config/setting.ts';

const formatDefault = ({ default: value, defaultText }: Setting) =>
  defaultText ?? (value === undefined ? 'not set' : `\`${value}\``);

export function formatSettingsTable(): string {
  const rows = settingRows.map(([name, row]) => {
    const meaning = row.description + (row.zeroIsOff ? '; 0: off' : '');
    return [`\`${name}\``, meaning, formatDefault(row), row.unit ?? ''];
  });
  const lines = [['variable', 'meaning', 'default', 'unit'], ['---', '---', '---', '---'], ...rows];
  return lines.map((cells) => `|${cells.map((cell) => (cell ? ` ${cell} ` : ' ')).join('|')}|\n`).join('');
}

/** Replaces the table between the two markers of the document. */
export function replaceSettingsTable(document: string): string {
  const marked = /(<!-- settings:start -->\n)[\s\S]*?(<!-- settings:end -->)/;
  if (!marked.test(document))
    throw new Error('The document has no <!-- settings:start --> and <!-- settings:end -->: add both markers');
  return document.replace(marked, (_, start: string, end: string) => start + formatSettingsTable() + end);
}
