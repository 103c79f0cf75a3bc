import { isDeepStrictEqual } from 'node:util';
import type { RoomEntity } from '../../core/log/room.entity.ts';
import type { RoomTransaction } from '../../core/log/room-transaction.ts';
import { toRoom } from '../../core/log/to-protocol.ts';
import type { Room } from '../../core/room.ts';
import type { ChangeRoom } from './contract.ts';

type Settings = Pick<RoomEntity, 'name' | 'levelAdmin' | 'maxEntityRules'> & {
  receipts: boolean;
  readersReact: boolean;
};

/**
 * Changes the fields of the locked room that the input names; `check` may refuse it. If nothing differs, the log gets no
 * entry.
 */
export async function applySettings(
  room: RoomTransaction,
  input: Partial<ChangeRoom>,
  check: (next: Settings) => Promise<void> | void,
): Promise<{ changed: Room; previousLevel: number }> {
  const { name, levelAdmin, maxEntityRules } = room.entity;
  const receipts = room.entity.receipts ?? room.isPair;
  const readersReact = room.entity.readersReact ?? false;
  const present = { name, levelAdmin, maxEntityRules, receipts, readersReact };
  const next = {
    name: input.name ?? name,
    levelAdmin: input.level_admin ?? levelAdmin,
    maxEntityRules: input.max_entity_rules ?? maxEntityRules,
    receipts: input.receipts ?? receipts,
    readersReact: input.readers_react ?? readersReact,
  };
  await check(next);
  const before = await room.readCustom();
  const after = input.custom === undefined ? before : input.custom && JSON.stringify(input.custom);
  const isSame = isDeepStrictEqual(next, present) && before === after;
  if (!isSame) await room.changeRoom(next, { before, after });
  return { changed: toRoom(room.entity, after), previousLevel: levelAdmin };
}
