import type { ImportResult } from './import-legacy.ts';

interface ReportOptions {
  from: string;
  to: string;
  isDryRun: boolean;
}

const formatNumber = (n: number) => n.toLocaleString('en');

/** What was taken over, and all that is to be said of it. */
export function formatReport(
  { findings, rooms, rules, messages }: ImportResult,
  { from, to, isDryRun }: ReportOptions,
): string {
  const changed = rules.changed > 0 ? `, ${formatNumber(rules.changed)} changed in rooms from before` : '';
  return [
    isDryRun ? `A dry run: nothing was written. From ${from} to ${to} would come` : `From ${from} to ${to} have come`,
    `  ${formatNumber(rooms.added)} rooms; ${formatNumber(rooms.known)} were here from before`,
    `  ${formatNumber(rules.added)} rules${changed}`,
    `  ${formatNumber(messages)} messages`,
    ...findings.formatLines(),
  ].join('\n');
}
