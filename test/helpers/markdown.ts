import { readdirSync, readFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);

/** Reads a file of the repository. */
export const readDocument = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** Finds all Markdown files below a folder of the repository. Paths are relative to the root. */
export function markdownIn(folder: string): string[] {
  const names = readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}${name}`)
    .sort();
}

export interface Fence {
  language: string;
  /** The text after the language. */
  label: string;
  text: string;
  line: number;
}

export function fences(text: string): Fence[] {
  return [...text.matchAll(/^```(\w*) *(.*)\n([\s\S]*?)^```$/gm)].map(({ 1: language, 2: label, 3: body, index }) => ({
    language: language!,
    label: label!.trim(),
    text: body!,
    line: lineAt(text, index),
  }));
}

export const lineAt = (text: string, index: number): number => text.slice(0, index).split('\n').length;

/** The headings of a level that consist only of code, that is, the names of the described things. */
export function codeHeadings(text: string, level: number): string[] {
  return [...text.matchAll(new RegExp(`^#{${level}} \`(.+)\`$`, 'gm'))].map((match) => match[1]!);
}

/** The text from a heading to the next heading of its level or above; empty if the heading does not exist. */
export function section(text: string, heading: string): string {
  const level = heading.split(' ', 1)[0]!.length;
  const [, after = ''] = text.split(`\n${heading}\n`);
  return after.split(new RegExp(`^#{1,${level}} `, 'm'), 1)[0]!;
}

/** The cells of every row of every table, without the rows below the headers. */
export function tableRows(text: string): string[][] {
  return [...text.matchAll(/^\|(.+)\|$/gm)]
    .map((row) => row[1]!.split('|').map((cell) => cell.trim()))
    .filter(([first]) => !first!.startsWith('---'));
}

/** The other cells of each row by its first cell, without backticks. */
export function rowsByName(text: string): Map<string, string[]> {
  return new Map(tableRows(text).map(([first, ...others]) => [first!.replaceAll('`', ''), others]));
}

/** Everything in backticks. */
export const codesIn = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);

const toAnchor = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

/** The anchors that GitHub gives the headings. */
export function anchors(text: string): Set<string> {
  const seen = new Map<string, number>();
  const withoutFences = text.replaceAll(/^```[\s\S]*?^```$/gm, '');
  return new Set(
    [...withoutFences.matchAll(/^#+ (.+)$/gm)].map(([, heading]) => {
      const anchor = toAnchor(heading!);
      const before = seen.get(anchor) ?? 0;
      seen.set(anchor, before + 1);
      return before === 0 ? anchor : `${anchor}-${before}`;
    }),
  );
}
