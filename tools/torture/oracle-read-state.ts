import type { Report } from './oracle.ts';
import type { Evidence, SeenReceipt } from './record.ts';
import type { RightsOverTime } from './rights-over-time.ts';
import type { RoomHistory } from './room-history.ts';

/** The clock of the database and that of the clients may differ by this. */
const clockSkewMs = 100;

/** Checks what clients were shown of the read positions of others. */
export function checkReceipts(
  { receipts, receiptRooms, users }: Evidence,
  { room, entries, positions }: RoomHistory,
  rights: RightsOverTime,
  report: Report,
): void {
  const known = new Map<string, SeenReceipt>();
  for (const receipt of receipts) {
    if (receipt.room !== room) continue;
    const { client, user, readSeq, version, rev, at } = receipt;
    const what = `${client} in room ${room}: version ${version} of the position of ${user}`;
    if (!receiptRooms.has(room)) report('leaked', `${what} is shown, but the room has no receipts`);
    if (users.get(user)?.hidesReceipts) report('leaked', `${what} is shown, but their tokens hide it`);
    const row = positions.get(user);
    if (version > (row?.version ?? 0)) report('lost', `${what} is shown, stored is ${row?.version}`);
    if (readSeq > (row?.receiptSeq ?? 0)) {
      report('altered', `${what} is shown as seq ${readSeq}, but nobody may see more than ${row?.receiptSeq}`);
    }
    // The node may have applied more changes than the client has received.
    const mayRead =
      rights.canRead(user, rev) ||
      entries.some(
        (entry) =>
          entry.rev > rev &&
          entry.at - performance.timeOrigin <= at + clockSkewMs &&
          entry.rule &&
          rights.canRead(user, entry.rev),
      );
    if (!mayRead) report('leaked', `${what} is shown at rev ${rev}, where they have no r`);
    const before = known.get(`${client} ${user}`);
    if (before && before.version > version) continue;
    if (before && before.readSeq > readSeq) {
      report('reordered', `${what} went back from seq ${before.readSeq} to ${readSeq}`);
    }
    known.set(`${client} ${user}`, receipt);
  }
}

/** Checks that a version has the same settings wherever it was told, and that none is newer than the row. */
export function checkSettings({ settings, inboxes }: Evidence, { room, positions }: RoomHistory, report: Report): void {
  const values = new Map<string, { muted: boolean; who: string }>();
  for (const [user, { version, muted }] of positions) values.set(`${user} ${version}`, { muted, who: 'the database' });

  function check(user: string, version: number, muted: boolean, who: string): void {
    const known = values.get(`${user} ${version}`);
    const what = `${who} in room ${room}: version ${version} of the settings of ${user}`;
    if (!known) values.set(`${user} ${version}`, { muted, who });
    else if (known.muted !== muted) report('altered', `${what} has muted ${muted}, ${known.who} has ${known.muted}`);
    const stored = positions.get(user)?.version ?? 0;
    if (version > stored) report('lost', `${what}, stored is ${stored}`);
  }

  for (const { client, user, room: of, done } of settings) {
    if (of === room && done) check(user, done.version, done.muted, `${client} (acknowledgement)`);
  }
  for (const { client, user, rooms } of inboxes) {
    for (const { version, muted } of rooms.get(room) ?? []) check(user, version, muted, `${client} (inbox)`);
  }
}
