import { Migration } from '@mikro-orm/migrations';
import { createApplyOperations } from './functions/apply-operations.ts';
import { useIndexes } from './functions/planner-settings.ts';

/**
 * Messages of the product's backend.
 *
 * `append_all` stores all of the messages in one room, or none: if one of them cannot be stored, it fails with NM002,
 * and the detail says which and why. It does not ask for rights. A duplicate `client_msg_id` is answered with the message
 * that was stored first. Messages with a `created_at` are imported: they are in the order of their times, and count as
 * read by everybody. If another transaction keeps the room locked, the function fails with 55P03.
 *
 * `rooms.imported_seq` is the last imported message: users without a position have read it. The positions of the others
 * move behind it, so that a user can still mark an imported message as unread.
 *
 * `list_recipients` returns what decides whether users are notified of a message. `p_is_known` says whether the claims of
 * a user are given; if not, they are those of the user's last mark in the room.
 *
 * `first_position` and `apply_operations` keep their signatures, because nodes of the previous version call them, too.
 */
export class Migration20261128120200_service_messages extends Migration {
  override name = 'Migration20261128120200_service_messages';

  override up(): void {
    this.addSql('alter table rooms add imported_seq bigint null;');
    this.addSql(createApplyOperations(true));
    this.addSql(createFirstPosition(true));

    this.addSql(`
create function append_all(p_room bigint, p_messages jsonb) returns json
language plpgsql set lock_timeout = '50ms' set plan_cache_mode = force_generic_plan ${useIndexes} as $$
declare
  v_room rooms;
  v_before bigint;
  v_now timestamptz;
  v_at timestamptz;
  v_active timestamptz;
  v_item jsonb;
  v_index int := -1;
  v_problem text;
  v_field text;
  v_message messages;
  v_next messages;
  v_results json[] := '{}';
  v_is_import boolean := p_messages -> 0 ->> 'created_at' is not null;
  v_hidden uuid[];
begin
  select * into v_room from rooms r where r.id = p_room for no key update;
  if not found then
    return null;
  end if;
  v_before := v_room.last_seq;
  v_now := date_trunc('milliseconds', clock_timestamp());
  if v_is_import then
    v_hidden := array(
      select s.user_uuid from positions s where s.room_id = p_room and s.hidden_seq is not null
        and count_unread(p_room, v_before, s.hidden_seq, s.user_uuid) = 0
    );
  end if;

  for v_item in select i from jsonb_array_elements(p_messages) with ordinality as e(i, n) order by n loop
    v_index := v_index + 1;
    v_next := jsonb_populate_record(null::messages, v_item);
    v_next.mentions := nullif(v_next.mentions, '{}');
    v_next.flags := nullif(v_next.flags, 0);
    v_problem := null;
    if v_next.client_msg_id is not null then
      select * into v_message from messages m
        where m.room_id = p_room and m.emitter = v_next.emitter and m.client_msg_id = v_next.client_msg_id;
      if found then
        -- After an edit or a deletion, the first contents are gone, so any retry is accepted.
        if v_message.version is null and (v_message.content, v_message.custom, v_message.mentions, v_message.reply_to,
            v_message.thread, coalesce(v_message.flags, 0) & 2) is distinct from
          (v_next.content, v_next.custom, v_next.mentions, v_next.reply_to, v_next.thread, coalesce(v_next.flags, 0) & 2) then
          raise exception 'refused' using errcode = 'NM002',
            detail = json_build_object('index', v_index, 'problem', 'reused', 'field', 'client_msg_id');
        end if;
        v_results[v_index + 1] := json_build_object('is_duplicate', true, 'message', message_row(v_message, null));
        continue;
      end if;
    end if;

    v_at := coalesce(v_next.created_at, greatest(v_now, v_room.last_change_at));
    if v_at < v_room.last_change_at or v_next.created_at > v_now then
      v_problem := case when v_at < v_room.last_change_at then 'too_early' else 'future' end;
      v_field := 'createdAt';
    elsif v_next.reply_to > v_room.last_seq then
      v_problem := 'no_message';
      v_field := 'reply_to';
    elsif v_next.thread is not null then
      select * into v_message from messages m where m.room_id = p_room and m.seq = v_next.thread;
      v_problem := case when not found then 'no_message' when v_message.deleted_at is not null then 'is_deleted'
        when v_message.thread is not null then 'nested' end;
      v_field := 'thread';
    end if;
    if v_problem is not null then
      raise exception 'refused' using errcode = 'NM002', detail = json_build_object('index', v_index, 'problem', v_problem,
        'field', v_field, 'changed', (extract(epoch from v_room.last_change_at) * 1000)::float8);
    end if;

    v_room.last_seq := v_room.last_seq + 1;
    v_room.last_rev := v_room.last_rev + 1;
    v_room.last_change_at := v_at;
    insert into messages (room_id, seq, rev, emitter, content, client_msg_id, created_at, updated_at, reply_to, thread,
      mentions, custom, flags)
    values (p_room, v_room.last_seq, v_room.last_rev, v_next.emitter, v_next.content, v_next.client_msg_id, v_at, v_at,
      v_next.reply_to, v_next.thread, v_next.mentions, v_next.custom, v_next.flags)
    returning * into v_next;
    perform store_mentions(v_next);
    if v_next.thread is not null then
      insert into thread_messages (room_id, root, seq) values (p_room, v_next.thread, v_next.seq);
      insert into threads as t (room_id, root, count, last_seq) values (p_room, v_next.thread, 1, v_next.seq)
        on conflict (room_id, root) do update set count = t.count + 1, last_seq = excluded.last_seq;
      update messages m set flags = coalesce(m.flags, 0) | 8
        where m.room_id = p_room and m.seq = v_next.thread and coalesce(m.flags, 0) & 8 = 0;
    elsif coalesce(v_next.flags, 0) & 1 = 0 then
      v_active := v_at;
    end if;
    v_results[v_index + 1] := json_build_object('is_duplicate', false, 'message', message_row(v_next, null));
  end loop;

  perform finish_room(v_room, v_active);
  if v_is_import and v_room.last_seq > v_before then
    update rooms r set imported_seq = v_room.last_seq where r.id = p_room;
    perform 1 from positions s where s.room_id = p_room order by s.user_uuid for no key update;
    update positions s set read_seq = v_room.last_seq, version = s.version + 1,
      hidden_seq = case when s.user_uuid = any(v_hidden) then v_room.last_seq else s.hidden_seq end
    where s.room_id = p_room;
  end if;
  return array_to_json(v_results);
end $$;`);

    this.addSql(`
create function list_recipients(
  p_room bigint, p_seq bigint, p_users uuid[], p_entities uuid[], p_levels int[], p_is_known boolean[]
) returns table (o_user uuid, o_entity uuid, o_level float8, o_rules json, o_is_muted boolean, o_has_read boolean,
  o_is_mentioned boolean)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexes} as $$
begin
  return query
  select u.user_uuid, c.entity, c.level::float8,
    (select json_agg(json_build_object('entity_UUID', p.grantee, 'kind', p.kind, 'permissions', p.permissions,
        'level', p.level, 'accepted', p.accepted))
      from permission_rules p where p.room_id = p_room and p.grantee = any(array[u.user_uuid, c.entity])),
    s.muted, s.read_seq >= p_seq,
    coalesce(m.flags, 0) & 2 <> 0 or coalesce(m.mentions && array[u.user_uuid, c.entity], false)
  from unnest(p_users, p_entities, p_levels, p_is_known) with ordinality as u(user_uuid, entity, level, is_known, n)
  join rooms r on r.id = p_room
  join messages m on m.room_id = p_room and m.seq = p_seq
  left join positions x on x.room_id = p_room and x.user_uuid = u.user_uuid
  cross join lateral (select case when u.is_known then u.entity else x.entity end as entity,
    coalesce(case when u.is_known then u.level else x.level end, 0) as level) c
  cross join lateral read_state(p_room, r.last_seq, u.user_uuid, c.entity) s
  order by u.n;
end $$;`);

    // The grantees of a room to look at for a page of recipients, after \`p_after\`. With \`p_mentions\` only those who are
    // mentioned, as far as their organisations are known.
    this.addSql(`
create function list_grantees(p_room bigint, p_mentions uuid[], p_after uuid, p_limit int) returns table (o_user uuid)
language plpgsql stable set plan_cache_mode = force_generic_plan ${useIndexes} as $$
begin
  if p_mentions is null then
    return query select p.grantee from permission_rules p
      where p.room_id = p_room and p.grantee > p_after and p.kind <> 'entity' order by p.grantee limit p_limit;
  else
    return query select p.grantee
      from (
        select unnest(p_mentions) as user_uuid
        union select s.user_uuid from positions s where s.room_id = p_room and s.entity = any(p_mentions)
      ) x
      join permission_rules p on p.room_id = p_room and p.grantee = x.user_uuid
      where p.grantee > p_after and p.kind <> 'entity' order by p.grantee limit p_limit;
  end if;
end $$;`);
  }

  override down(): void {
    this.addSql('drop function list_grantees(bigint, uuid[], uuid, int);');
    this.addSql('drop function list_recipients(bigint, bigint, uuid[], uuid[], int[], boolean[]);');
    this.addSql('drop function append_all(bigint, jsonb);');
    this.addSql(createFirstPosition(false));
    this.addSql(createApplyOperations(false));
    this.addSql('alter table rooms drop column imported_seq;');
  }
}

/** The function of `Migration20261128100200_read_state`, with or without the imported messages. */
function createFirstPosition(knowsImports: boolean): string {
  const position = `coalesce(
    (select coalesce(p.from_seq, (
        select seq_at(p_room, greatest(p.created_at, u.at)) - 1 from users_seen u where u.user_uuid = p_user
      ), p_last_seq)
      from permission_rules p where p.room_id = p_room and p.grantee = p_user and p.kind <> 'entity'),
    (select greatest(seq_at(p_room, u.at) - 1, (
        select p.from_seq from permission_rules p
        where p.room_id = p_room and p.grantee = p_entity and p.kind <> 'user'
      ))
      from users_seen u where u.user_uuid = p_user),
    p_last_seq)`;
  return `
create or replace function first_position(p_room bigint, p_last_seq bigint, p_user uuid, p_entity uuid) returns bigint
language sql stable as $$
  select ${knowsImports ? `greatest(${position}, (select r.imported_seq from rooms r where r.id = p_room))` : position}
$$;`;
}
