import type { Report } from './oracle.ts';
import type { DeletedRoom, Delivery, Evidence } from './record.ts';

/** What is missing of the deletions until now: a listener that was not removed, or a consumer without the deletion. */
export function findDeletionProblems({ deletedRooms, consumers }: Evidence): string[] {
  return deletedRooms.flatMap(({ room, listeners }) => [
    ...listeners
      .filter(({ removal, hasEnded }) => !removal && !hasEnded)
      .map(({ name }) => `the listener on ${name} was not removed from the deleted room ${room}`),
    ...[...consumers]
      .filter(([, deliveries]) => !listAccepted(deliveries, room).some(({ name }) => name === 'room.deleted'))
      .map(([name]) => `the ${name} has not received the deletion of room ${room}`),
  ]);
}

/** Checks that a room was gone for everybody from the acknowledgement of its deletion on. */
export function checkDeletions({ deletedRooms, consumers }: Evidence, report: Report): void {
  for (const deleted of deletedRooms) {
    checkAnswers(deleted, report);
    checkListeners(deleted, report);
    for (const [name, deliveries] of consumers) {
      const who = `the ${name}, deleted room ${deleted.room}`;
      let position = -1;
      let isDeleted = false;
      for (const { rev, name: change } of listAccepted(deliveries, deleted.room)) {
        if (change === 'room.deleted') isDeleted = true;
        else if (isDeleted) report('leaked', `${who}: rev ${rev} after the deletion`);
        else if (rev > position + 1) report('lost', `${who}: rev ${rev} at rev ${position}`);
        position = Math.max(position, rev);
      }
    }
  }
}

function checkAnswers({ room, deletedAt, answers }: DeletedRoom, report: Report): void {
  for (const { what, askedAt, status } of answers) {
    const isLate = deletedAt !== undefined && askedAt > deletedAt;
    if (isLate && status < 300) report('leaked', `${what} was answered with ${status} after room ${room} was deleted`);
    else if (status >= 400 && status !== 404 && status !== 503)
      report('protocol', `${what} was answered with ${status}, while room ${room} was deleted`);
  }
}

function checkListeners({ room, listeners }: DeletedRoom, report: Report): void {
  for (const { name, from, revs, removal } of listeners) {
    const who = `the listener on ${name} in the deleted room ${room}`;
    for (const [n, rev] of revs.entries()) {
      const before = revs[n - 1] ?? from;
      if (rev <= before) report('duplicated', `${who}: rev ${rev} after rev ${before}`);
      else if (rev > before + 1) report('lost', `${who}: rev ${rev} after rev ${before}`);
    }
    if (!removal) continue;
    if (removal.code !== 'ROOM_DELETED') report('altered', `${who}: removed with ${removal.code}`);
    if (removal.after < revs.length) report('leaked', `${who}: rev ${revs[removal.after]} after it was removed`);
  }
}

const listAccepted = (deliveries: readonly Delivery[], room: number) =>
  deliveries
    .filter(({ isAccepted }) => isAccepted)
    .flatMap(({ changes }) => changes.filter((one) => one.room === room));
