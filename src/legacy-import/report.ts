import type { Outcome } from './import-legacy.ts';

interface Places {
  from: string;
  to: string;
  dryRun: boolean;
}

const figure = (n: number) => n.toLocaleString('en');

/** What was taken over, and all that is to be said of it. */
export function reportOf({ findings, rooms, rules, messages }: Outcome, { from, to, dryRun }: Places): string {
  const changed = rules.changed > 0 ? `, ${figure(rules.changed)} changed in rooms from before` : '';
  return [
    dryRun ? `A dry run: nothing was written. From ${from} to ${to} would come` : `From ${from} to ${to} have come`,
    `  ${figure(rooms.added)} rooms; ${figure(rooms.known)} were here from before`,
    `  ${figure(rules.added)} rules${changed}`,
    `  ${figure(messages)} messages`,
    ...findings.lines(),
  ].join('\n');
}
