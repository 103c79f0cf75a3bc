import { Migration } from '@mikro-orm/migrations';
import { createApplyOperations } from './functions/apply-operations.ts';

/**
 * Edits, deletions, reactions, replies, threads, mentions and data of the app.
 *
 * Nodes of the previous version go on writing while this migration runs and afterwards. So the large tables only get
 * nullable columns, and the new kinds of log entries have a table of their own: a node of the previous version finds a
 * gap in the log instead of an entry that it would misread.
 *
 * `messages.version` is null as long as it equals `rev`. Bits of `messages.flags`: 1 silent, 2 mentions everybody in the
 * room, 4 has or had reactions, 8 has or had replies. Bits 4 and 8 spare the readers of other messages a look at the
 * tables of reactions and threads. `custom` is text, because `jsonb` reorders keys and changes numbers.
 *
 * A row of `mentions` with the nil UUID mentions everybody in the room.
 */
export class Migration20261128100000_conversation extends Migration {
  override name = 'Migration20261128100000_conversation';

  override up(): void {
    this.addSql(`alter table messages add reply_to bigint null, add thread bigint null, add mentions uuid[] null,
      add custom text null, add flags smallint null, add edited_at timestamptz(3) null, add deleted_at timestamptz(3) null,
      add deleted_by uuid null, add version bigint null;`);
    this.addSql(
      'alter table rooms add active_at timestamptz(3) null, add receipts boolean null, add readers_react boolean null;',
    );
    this.addSql('alter table room_changes add actor uuid null;');
    this.addSql('create table room_custom (room_id bigint not null, custom text not null, primary key (room_id));');
    this.addSql(`create table log_entries (room_id bigint not null, rev bigint not null, kind smallint not null,
      seq bigint not null, actor uuid not null, changes text null, at timestamptz(3) not null, primary key (room_id, rev));`);
    this.addSql('create index log_entries_changes_index on log_entries (room_id, seq) where changes is not null;');
    this.addSql(`create table reactions (room_id bigint not null, seq bigint not null, emoji text not null,
      user_uuid uuid not null, rev bigint not null, primary key (room_id, seq, emoji, user_uuid));`);
    this.addSql(`create table reaction_counts (room_id bigint not null, seq bigint not null, emoji text not null,
      count int not null, first_rev bigint not null, first_n smallint not null, primary key (room_id, seq, emoji))
      with (fillfactor = 70);`);
    this.addSql(`create table threads (room_id bigint not null, root bigint not null, count int not null,
      last_seq bigint not null, primary key (room_id, root)) with (fillfactor = 70);`);
    this.addSql(`create table thread_messages (room_id bigint not null, root bigint not null, seq bigint not null,
      primary key (room_id, root, seq));`);
    this.addSql(`create table mentions (room_id bigint not null, grantee uuid not null, seq bigint not null,
      primary key (room_id, grantee, seq));`);

    this.addSql(`
create function delete_conversation_of_room() returns trigger language plpgsql set enable_seqscan = off as $$
begin
  delete from room_custom where room_id = old.id;
  delete from log_entries where room_id = old.id;
  delete from reactions where room_id = old.id;
  delete from reaction_counts where room_id = old.id;
  delete from threads where room_id = old.id;
  delete from thread_messages where room_id = old.id;
  delete from mentions where room_id = old.id;
  return null;
end $$;`);
    this.addSql(
      'create trigger rooms_delete_conversation after delete on rooms for each row execute function delete_conversation_of_room();',
    );

    this.addSql(`
create function message_reactions(p_room bigint, p_seq bigint, p_user uuid) returns json language sql stable as $$
  select json_agg(case when p_user is not null and exists (
      select 1 from reactions x
      where x.room_id = c.room_id and x.seq = c.seq and x.emoji = c.emoji and x.user_uuid = p_user
    ) then json_build_object('emoji', c.emoji, 'count', c.count, 'mine', true)
    else json_build_object('emoji', c.emoji, 'count', c.count) end order by c.first_rev, c.first_n)
  from reaction_counts c where c.room_id = p_room and c.seq = p_seq
$$;`);

    this.addSql(`
create function thread_replies(p_room bigint, p_root bigint) returns json language sql stable as $$
  select json_build_object('count', t.count, 'last_seq', t.last_seq) from threads t
  where t.room_id = p_room and t.root = p_root
$$;`);

    // What makes a message more than its plain columns; null if nothing does.
    this.addSql(`
create function message_extras(m messages, p_user uuid) returns json language sql stable as $$
  select case when m.version is null and m.flags is null and m.thread is null and m.reply_to is null
      and m.mentions is null and m.custom is null then null
    else json_strip_nulls(json_build_object(
      'version', m.version, 'reply_to', m.reply_to, 'thread', m.thread, 'mentions', m.mentions, 'custom', m.custom,
      'flags', m.flags, 'edited', (extract(epoch from m.edited_at) * 1000)::float8,
      'deleted', (extract(epoch from m.deleted_at) * 1000)::float8, 'deleted_by', m.deleted_by,
      'reactions', case when m.flags & 4 <> 0 then message_reactions(m.room_id, m.seq, p_user) end,
      'replies', case when m.flags & 8 <> 0 then thread_replies(m.room_id, m.seq) end
    )) end
$$;`);

    this.addSql(createApplyOperations(false));

    this.addSql(`
create function message_row(m messages, p_user uuid) returns json language sql stable as $$
  select json_build_object('room_id', m.room_id, 'id', m.id, 'seq', m.seq, 'rev', m.rev, 'emitter', m.emitter,
    'content', m.content, 'client_msg_id', m.client_msg_id, 'at', (extract(epoch from m.created_at) * 1000)::float8,
    'updated', (extract(epoch from m.updated_at) * 1000)::float8, 'extras', message_extras(m, p_user),
    'root_replies', case when m.thread is not null then thread_replies(m.room_id, m.thread) end)
$$;`);

    this.addSql(`
create function store_mentions(m messages) returns void language plpgsql as $$
begin
  if m.mentions is not null then
    insert into mentions (room_id, grantee, seq) select m.room_id, g, m.seq from unnest(m.mentions) g on conflict do nothing;
  end if;
  if coalesce(m.flags, 0) & 2 <> 0 then
    insert into mentions (room_id, grantee, seq) values (m.room_id, '00000000-0000-0000-0000-000000000000', m.seq)
      on conflict do nothing;
  end if;
end $$;`);

    this.addSql(`
create function forget_mentions(m messages) returns void language plpgsql as $$
begin
  if m.mentions is not null then
    delete from mentions x where x.room_id = m.room_id and x.grantee = any(m.mentions) and x.seq = m.seq;
  end if;
  if coalesce(m.flags, 0) & 2 <> 0 then
    delete from mentions x
      where x.room_id = m.room_id and x.grantee = '00000000-0000-0000-0000-000000000000' and x.seq = m.seq;
  end if;
end $$;`);

    // Writes the counters of a room after the last operation in it, and the row of the journal, which the next migration adds.
    // A busy room was read without its lock: its counters may have grown since, and must not go back.
    this.addSql(`
create function finish_room(p_room rooms, p_active timestamptz) returns void language plpgsql as $$
begin
  update rooms r set last_seq = p_room.last_seq, last_rev = p_room.last_rev, last_change_at = p_room.last_change_at,
    active_at = coalesce(p_active, r.active_at, r.last_change_at)
  where r.id = p_room.id and r.last_rev < p_room.last_rev;
  if found then
    insert into touches (what, room_id) values (2, p_room.id);
  end if;
end $$;`);
  }

  override down(): void {
    this.addSql('drop function finish_room(rooms, timestamptz);');
    this.addSql('drop function forget_mentions(messages);');
    this.addSql('drop function store_mentions(messages);');
    this.addSql('drop function apply_operations(jsonb);');
    this.addSql('drop function message_row(messages, uuid);');
    this.addSql('drop function message_extras(messages, uuid);');
    this.addSql('drop function thread_replies(bigint, bigint);');
    this.addSql('drop function message_reactions(bigint, bigint, uuid);');
    this.addSql('drop trigger rooms_delete_conversation on rooms;');
    this.addSql('drop function delete_conversation_of_room();');
    for (const table of [
      'mentions',
      'thread_messages',
      'threads',
      'reaction_counts',
      'reactions',
      'log_entries',
      'room_custom',
    ])
      this.addSql(`drop table ${table};`);
    this.addSql('alter table room_changes drop column actor;');
    this.addSql('alter table rooms drop column active_at, drop column receipts, drop column readers_react;');
    this.addSql(`alter table messages drop column reply_to, drop column thread, drop column mentions, drop column custom,
      drop column flags, drop column edited_at, drop column deleted_at, drop column deleted_by, drop column version;`);
  }
}
