import { useIndexes } from './planner-settings.ts';
import { lockRooms } from './sql-fragments.ts';

/**
 * `apply_operations` stores a batch of edits, deletions, reactions and messages that are more than plain text, under
 * the locks that `append_messages` takes. `p_ops` is grouped by room, in the order in which the requests arrived. Except
 * for reactions, a batch contains at most one operation for each message. All reactions to a message share one entry of
 * the log. Each operation comes with the decision about its actor (`can_read`, `can_write`, `can_delete_all`) and the
 * `rights_rev` of that decision; if it is no longer current, the outcome is `stale`. A repeated operation that changes
 * nothing succeeds before rights are checked, so a lost answer does not turn into an error.
 *
 * `knowsService` adds `can_edit_all`: the product's backend may edit the messages of everybody. Its operations have no
 * `rights_rev`, because they do not depend on rules, so they are never `stale`.
 */
export function createApplyOperations(knowsService: boolean): string {
  const exception = knowsService ? " and not coalesce((v_op ->> 'can_edit_all')::boolean, false)" : '';
  return `
create or replace function apply_operations(p_ops jsonb) returns table (o_ord int, o_result json)
language plpgsql set lock_timeout = '50ms' set plan_cache_mode = force_generic_plan
  ${useIndexes} as $$
declare
  c_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz;
  v_ids bigint[];
  v_locked bigint[];
  v_others bigint[];
  v_results json[] := '{}';
  v_reacted jsonb := '{}';
  v_ord int := 0;
  v_op jsonb;
  v_room rooms;
  v_busy boolean;
  v_at timestamptz;
  v_active timestamptz;
  v_message messages;
  v_next messages;
  v_actor uuid;
  v_stale boolean;
  v_outcome text;
  v_field text;
  v_seq bigint;
  v_seqs bigint[];
  v_key text;
  v_emoji text;
  v_n int;
  v_result json;
begin
  v_ids := array(select distinct (o ->> 'room_id')::bigint from jsonb_array_elements(p_ops) o order by 1);
  ${lockRooms('v_ids')}
  v_now := date_trunc('milliseconds', clock_timestamp());

  for v_op in select o from jsonb_array_elements(p_ops) with ordinality as e(o, n) order by n loop
    v_ord := v_ord + 1;
    if v_room.id is distinct from (v_op ->> 'room_id')::bigint then
      perform finish_room(v_room, v_active);
      select * into v_room from rooms r where r.id = (v_op ->> 'room_id')::bigint;
      if not found then
        v_room.id := (v_op ->> 'room_id')::bigint;
        v_room.uuid := null;
      end if;
      v_busy := not v_room.id = any(coalesce(v_locked, '{}'));
      v_active := null;
      v_at := greatest(v_now, v_room.last_change_at);
    end if;
    if v_room.uuid is null then
      v_results[v_ord] := '{"outcome": "gone"}';
      continue;
    elsif v_busy then
      v_results[v_ord] := '{"outcome": "busy"}';
      continue;
    end if;
    v_actor := (v_op ->> 'actor')::uuid;
    v_stale := (v_op ->> 'rights_rev')::bigint <> v_room.rights_rev;
    v_field := null;
    v_result := null;

    if v_op ->> 'kind' = 'send' then
      v_message := null;
      if v_op ->> 'client_msg_id' is not null then
        select * into v_message from messages m where m.room_id = v_room.id and m.emitter = v_actor
          and m.client_msg_id = v_op ->> 'client_msg_id';
      end if;
      if v_message.seq is not null then
        v_results[v_ord] := json_build_object('outcome', 'duplicate', 'message', message_row(v_message, v_actor));
        continue;
      end if;
      v_outcome := case when v_stale then 'stale' when not (v_op ->> 'can_write')::boolean then 'refused' end;
      if v_outcome is null and (v_op ->> 'reply_to')::bigint > v_room.last_seq then
        v_outcome := 'no_message';
        v_field := 'reply_to';
      end if;
      if v_outcome is null and v_op ->> 'thread' is not null then
        select * into v_message from messages m where m.room_id = v_room.id and m.seq = (v_op ->> 'thread')::bigint;
        v_outcome := case when not found then 'no_message' when v_message.deleted_at is not null then 'deleted'
          when v_message.thread is not null then 'nested' end;
        v_field := 'thread';
      end if;
      if v_outcome is not null then
        v_results[v_ord] := json_build_object('outcome', v_outcome, 'field', v_field);
        continue;
      end if;
      v_room.last_seq := v_room.last_seq + 1;
      v_room.last_rev := v_room.last_rev + 1;
      v_room.last_change_at := v_at;
      insert into messages (room_id, seq, rev, emitter, content, client_msg_id, created_at, updated_at, reply_to, thread,
        mentions, custom, flags)
      values (v_room.id, v_room.last_seq, v_room.last_rev, v_actor, v_op ->> 'content', v_op ->> 'client_msg_id',
        v_room.last_change_at, v_room.last_change_at, (v_op ->> 'reply_to')::bigint, (v_op ->> 'thread')::bigint,
        nullif(array(select jsonb_array_elements_text(v_op -> 'mentions'))::uuid[], '{}'), v_op ->> 'custom',
        nullif((v_op ->> 'flags')::smallint, 0))
      returning * into v_next;
      perform store_mentions(v_next);
      if v_next.thread is not null then
        insert into thread_messages (room_id, root, seq) values (v_room.id, v_next.thread, v_next.seq);
        insert into threads as t (room_id, root, count, last_seq) values (v_room.id, v_next.thread, 1, v_next.seq)
          on conflict (room_id, root) do update set count = t.count + 1, last_seq = excluded.last_seq;
        update messages m set flags = coalesce(m.flags, 0) | 8
          where m.room_id = v_room.id and m.seq = v_next.thread and coalesce(m.flags, 0) & 8 = 0;
      elsif coalesce(v_next.flags, 0) & 1 = 0 then
        v_active := v_room.last_change_at;
      end if;
      v_results[v_ord] := json_build_object('outcome', 'stored', 'rev', v_room.last_rev,
        'at', (extract(epoch from v_room.last_change_at) * 1000)::float8, 'message', message_row(v_next, v_actor));
      continue;
    end if;

    if v_op ->> 'kind' = 'delete' then
      v_seqs := array(select jsonb_array_elements_text(v_op -> 'seqs'))::bigint[];
      select min(s) into v_seq from unnest(v_seqs) s
        where not exists (select 1 from messages m where m.room_id = v_room.id and m.seq = s);
      if not (v_op ->> 'can_read')::boolean then
        v_outcome := case when v_stale then 'stale' else 'refused' end;
      elsif v_seq is not null then
        v_outcome := case when v_stale then 'stale' else 'no_message' end;
      elsif not exists (
        select 1 from messages m where m.room_id = v_room.id and m.seq = any(v_seqs) and m.deleted_at is null
      ) then
        v_outcome := 'unchanged';
      elsif v_stale then
        v_outcome := 'stale';
      elsif not (v_op ->> 'can_delete_all')::boolean and exists (
        select 1 from messages m
        where m.room_id = v_room.id and m.seq = any(v_seqs) and m.deleted_at is null and m.emitter <> v_actor
      ) then
        v_outcome := 'not_own';
      else
        v_outcome := 'stored';
      end if;
      if v_outcome <> 'stored' then
        v_results[v_ord] := json_build_object('outcome', v_outcome, 'field', case when v_outcome in ('no_message', 'not_own') then 'seqs' end,
          'seq', v_seq, 'rev', v_room.last_rev, 'at', (extract(epoch from v_room.last_change_at) * 1000)::float8);
        continue;
      end if;
      v_result := '[]';
      for v_message in
        select * from messages m where m.room_id = v_room.id and m.seq = any(v_seqs) and m.deleted_at is null order by m.seq
      loop
        v_room.last_rev := v_room.last_rev + 1;
        v_room.last_change_at := v_at;
        perform forget_mentions(v_message);
        delete from reactions x where x.room_id = v_room.id and x.seq = v_message.seq;
        delete from reaction_counts x where x.room_id = v_room.id and x.seq = v_message.seq;
        update log_entries e set changes = null
          where e.room_id = v_room.id and e.seq = v_message.seq and e.changes is not null;
        update messages m set content = '', custom = null, mentions = null, edited_at = null,
          flags = nullif(coalesce(m.flags, 0) & 9, 0), deleted_at = v_room.last_change_at, deleted_by = v_actor,
          version = v_room.last_rev, updated_at = v_room.last_change_at
        where m.room_id = v_room.id and m.seq = v_message.seq
        returning * into v_next;
        if v_next.thread is not null then
          update threads t set count = t.count - 1, last_seq = case when t.last_seq <> v_next.seq then t.last_seq else coalesce((
              select x.seq from thread_messages x
              where x.room_id = v_room.id and x.root = v_next.thread
                and (select m.deleted_at is null from messages m where m.room_id = x.room_id and m.seq = x.seq)
              order by x.seq desc limit 1
            ), 0) end
          where t.room_id = v_room.id and t.root = v_next.thread;
        end if;
        insert into log_entries (room_id, rev, kind, seq, actor, at)
        values (v_room.id, v_room.last_rev, 2, v_next.seq, v_actor, v_room.last_change_at);
        v_result := (v_result::jsonb || message_row(v_next, null)::jsonb)::json;
      end loop;
      v_results[v_ord] := json_build_object('outcome', 'stored', 'rev', v_room.last_rev,
        'at', (extract(epoch from v_room.last_change_at) * 1000)::float8, 'messages', v_result);
      continue;
    end if;

    select * into v_message from messages m where m.room_id = v_room.id and m.seq = (v_op ->> 'seq')::bigint;
    v_outcome := case when not (v_op ->> 'can_read')::boolean and (not found or v_message.emitter <> v_actor) then
        case when v_stale then 'stale' else 'refused' end
      when not found then case when v_stale then 'stale' else 'no_message' end
      when v_message.deleted_at is not null then case when v_stale then 'stale' else 'deleted' end end;
    if v_outcome is not null then
      v_results[v_ord] := json_build_object('outcome', v_outcome, 'field', 'seq');
      continue;
    end if;

    if v_op ->> 'kind' = 'edit' then
      v_next := v_message;
      if v_op ? 'content' then v_next.content := v_op ->> 'content'; end if;
      if v_op ? 'custom' then v_next.custom := v_op ->> 'custom'; end if;
      if v_op ? 'mentions' then
        v_next.mentions := nullif(array(select jsonb_array_elements_text(v_op -> 'mentions'))::uuid[], '{}');
      end if;
      if v_op ? 'mention_room' then
        v_next.flags := nullif(coalesce(v_next.flags, 0) & ~2 | case when (v_op ->> 'mention_room')::boolean then 2 else 0 end, 0);
      end if;
      v_outcome := case
        when v_message.emitter <> v_actor${exception} then case when v_stale then 'stale' else 'not_own' end
        when v_next is not distinct from v_message then 'unchanged'
        when v_stale then 'stale'
        when not (v_op ->> 'can_write')::boolean then 'refused'
        when (v_op ->> 'edit_seconds')::float8 > 0
          and v_now > v_message.created_at + make_interval(secs => (v_op ->> 'edit_seconds')::float8) then 'closed'
        when (v_op ->> 'base')::bigint <> coalesce(v_message.version, v_message.rev) then 'conflict'
        when v_next.content = '' and v_next.custom is null then 'empty'
        else 'stored' end;
      if v_outcome <> 'stored' then
        v_results[v_ord] := json_build_object('outcome', v_outcome, 'rev', v_room.last_rev,
          'at', (extract(epoch from v_room.last_change_at) * 1000)::float8,
          'field', case v_outcome when 'not_own' then 'seq' when 'closed' then 'seq' when 'conflict' then 'base' when 'empty' then 'content' end,
          'message', case when v_outcome in ('unchanged', 'conflict') then message_row(v_message, v_actor) end);
        continue;
      end if;
      v_room.last_rev := v_room.last_rev + 1;
      v_room.last_change_at := v_at;
      perform forget_mentions(v_message);
      update messages m set content = v_next.content, custom = v_next.custom, mentions = v_next.mentions, flags = v_next.flags,
        version = v_room.last_rev, updated_at = v_room.last_change_at,
        edited_at = case when v_next.content <> v_message.content then v_room.last_change_at else m.edited_at end
      where m.room_id = v_room.id and m.seq = v_message.seq
      returning * into v_next;
      perform store_mentions(v_next);
      insert into log_entries (room_id, rev, kind, seq, actor, at)
      values (v_room.id, v_room.last_rev, 1, v_next.seq, v_actor, v_room.last_change_at);
      v_results[v_ord] := json_build_object('outcome', 'stored', 'rev', v_room.last_rev,
        'at', (extract(epoch from v_room.last_change_at) * 1000)::float8, 'message', message_row(v_next, v_actor));
      continue;
    end if;

    -- A reaction. Spellings that differ only in a variation selector are the same emoji; the first spelling stays.
    select c.emoji into v_emoji from reaction_counts c where c.room_id = v_room.id and c.seq = v_message.seq
      and translate(c.emoji, U&'\\FE0E\\FE0F', '') = translate(v_op ->> 'emoji', U&'\\FE0E\\FE0F', '');
    v_emoji := coalesce(v_emoji, v_op ->> 'emoji');
    v_outcome := case
      when exists (
        select 1 from reactions x
        where x.room_id = v_room.id and x.seq = v_message.seq and x.emoji = v_emoji and x.user_uuid = v_actor
      ) = (v_op ->> 'added')::boolean then 'unchanged'
      when v_stale then 'stale'
      when not (v_op ->> 'can_write')::boolean
        and not ((v_op ->> 'can_read')::boolean and coalesce(v_room.readers_react, false)) then 'refused'
      when (v_op ->> 'added')::boolean
        and not exists (select 1 from reaction_counts c where c.room_id = v_room.id and c.seq = v_message.seq and c.emoji = v_emoji)
        and (select count(*) from reaction_counts c where c.room_id = v_room.id and c.seq = v_message.seq) >= 20
        then 'too_many_reactions'
      else 'stored' end;
    v_key := v_room.id || ':' || v_message.seq;
    if v_outcome = 'stored' then
      if v_reacted -> v_key is null then
        v_room.last_rev := v_room.last_rev + 1;
        v_room.last_change_at := v_at;
        v_reacted := v_reacted || jsonb_build_object(v_key, jsonb_build_object('room_id', v_room.id, 'seq', v_message.seq, 'rev', v_room.last_rev,
          'at', (extract(epoch from v_room.last_change_at) * 1000)::float8, 'actor', v_actor, 'changes', '[]'::jsonb));
        update messages m set flags = coalesce(m.flags, 0) | 4
          where m.room_id = v_room.id and m.seq = v_message.seq and coalesce(m.flags, 0) & 4 = 0;
      end if;
      v_n := jsonb_array_length(v_reacted -> v_key -> 'changes');
      v_reacted := jsonb_insert(v_reacted, array[v_key, 'changes', v_n::text],
        jsonb_build_object('user', v_actor, 'emoji', v_emoji, 'added', v_op -> 'added'));
      if (v_op ->> 'added')::boolean then
        insert into reactions (room_id, seq, emoji, user_uuid, rev)
        values (v_room.id, v_message.seq, v_emoji, v_actor, (v_reacted -> v_key ->> 'rev')::bigint);
        insert into reaction_counts as c (room_id, seq, emoji, count, first_rev, first_n)
        values (v_room.id, v_message.seq, v_emoji, 1, (v_reacted -> v_key ->> 'rev')::bigint, v_n)
          on conflict (room_id, seq, emoji) do update set count = c.count + 1;
      else
        delete from reactions x
          where x.room_id = v_room.id and x.seq = v_message.seq and x.emoji = v_emoji and x.user_uuid = v_actor;
        delete from reaction_counts c
          where c.room_id = v_room.id and c.seq = v_message.seq and c.emoji = v_emoji and c.count = 1;
        update reaction_counts c set count = c.count - 1
          where c.room_id = v_room.id and c.seq = v_message.seq and c.emoji = v_emoji;
      end if;
    end if;
    v_results[v_ord] := json_build_object('outcome', v_outcome, 'key', v_key, 'rev', v_room.last_rev,
      'at', (extract(epoch from v_room.last_change_at) * 1000)::float8);
  end loop;
  perform finish_room(v_room, v_active);

  insert into log_entries (room_id, rev, kind, seq, actor, changes, at)
  select (e ->> 'room_id')::bigint, (e ->> 'rev')::bigint, 3, (e ->> 'seq')::bigint, (e ->> 'actor')::uuid, e ->> 'changes',
    to_timestamp((e ->> 'at')::float8 / 1000)
  from jsonb_each(v_reacted) as x(key, e);

  return query
  select n::int, case when r ->> 'key' is null then r else json_build_object(
      'outcome', r ->> 'outcome', 'rev', coalesce(v_reacted -> (r ->> 'key') -> 'rev', to_jsonb(r -> 'rev')),
      'at', coalesce(v_reacted -> (r ->> 'key') -> 'at', to_jsonb(r -> 'at')),
      'changes', v_reacted -> (r ->> 'key') -> 'changes',
      'reactions', case when r ->> 'outcome' in ('stored', 'unchanged') then coalesce(message_reactions(
        split_part(r ->> 'key', ':', 1)::bigint, split_part(r ->> 'key', ':', 2)::bigint,
        (p_ops -> (n::int - 1) ->> 'actor')::uuid), '[]') end
    ) end
  from unnest(v_results) with ordinality as u(r, n) order by n;
end $$;`;
}
