import type { Actor } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import { type AppContext, resolveRoomId } from '../app-context.ts';
import type { PersonalSettings, ReadState } from './contract.ts';
import type { PositionWrite, WrittenPosition } from './write-positions.ts';

/** A queued write, whose order among the writes of the connection is fixed. `stored` resolves after the commit. */
interface Queued<T> {
  stored: Promise<T>;
}

/** Marks the messages of a room as read, up to a `seq`. */
export async function markRead(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  { seq, force }: { seq: number; force: boolean },
): Promise<Queued<ReadState>> {
  const { stored } = await write(context, actor, ref, { seq, force });
  const toReadState = ({ read_seq, version, unread, unread_mentions }: WrittenPosition) => ({
    ...{ read_seq, version, unread, unread_mentions },
  });
  return { stored: stored.then(toReadState) };
}

/** Changes the actor's personal settings in a room. */
export async function changePersonal(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  { muted = null, hidden = null }: { muted?: boolean | null | undefined; hidden?: boolean | null | undefined },
): Promise<Queued<PersonalSettings>> {
  const { stored } = await write(context, actor, ref, { muted, hidden });
  return { stored: stored.then(({ muted, hidden, version }) => ({ muted, hidden, version })) };
}

const noWrite = { seq: null, force: false, muted: null, hidden: null };

async function write(
  context: AppContext,
  actor: Actor,
  ref: RoomRef,
  given: Partial<Pick<PositionWrite, 'seq' | 'force' | 'muted' | 'hidden'>>,
): Promise<Queued<WrittenPosition>> {
  const { user, entity, level, hidesReceipts = false } = actor;
  context.requestLimits.consumeRead(user);
  const room_id = await resolveRoomId(context, ref);
  const write = { ...noWrite, ...given, room_id, ...{ user, entity, level }, isQuiet: hidesReceipts };
  return { stored: context.positions.write(write, actor) };
}
