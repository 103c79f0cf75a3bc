import { expect } from 'chai';
import { createRoomLog } from '../../src/core/log/room-log.ts';
import type { Store } from '../../src/database/store.ts';
import { describeEveryStore, insertRoom, toQuery } from '../helpers/stores.ts';

const ana = '00000000-0000-4000-8000-00000000000a';

describeEveryStore('Operations on the log', (getStore) => {
  async function send(store: Store, room_id: number, content: string): Promise<void> {
    const draft = { room_id, emitter: ana, content, client_msg_id: null, isAllowed: true, rightsRev: 0 };
    await createRoomLog(store).append([draft]);
  }

  it('does not set the counters of a room back that was read without its lock', async () => {
    const store = getStore();
    const room = await insertRoom(store, 60);
    await send(store, room, 'one');
    const [stale] = await store.query<{ row: string }>(
      toQuery('select to_jsonb(r)::text as row from rooms r where id = $1::bigint'),
      [room],
    );
    await send(store, room, 'two');
    await store.query(toQuery('select finish_room(jsonb_populate_record(null::rooms, $1::jsonb), null)'), [stale!.row]);
    const snapshot = await createRoomLog(store).snapshot(room);
    expect(snapshot?.head.rev).to.equal(2);
    expect(snapshot?.room.last_seq).to.equal(2);
  });
});
