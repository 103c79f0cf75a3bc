/** What both forms of `write_positions` return. */
export const writtenPositions = `table (o_ord bigint, o_read_seq bigint, o_receipt_seq bigint, o_version bigint, o_muted boolean,
  o_hidden boolean, o_unread int, o_mentions int, o_has_changed boolean, o_has_receipts boolean)`;

/** Changes the row `s` by the write `i`. `nextSeq` is the `read_seq` after the write, as a selected column `seq`. */
export const updatePosition = (
  nextSeq: string,
) => `update positions s set (read_seq, receipt_seq, version, muted, hidden_seq, entity, level) = (
    select n.seq,
      case when i.quiet or n.seq is not distinct from s.read_seq then s.receipt_seq else greatest(s.receipt_seq, n.seq) end,
      s.version + 1, coalesce(i.muted, s.muted),
      case when i.hidden is null then s.hidden_seq when i.hidden then i.last_seq end, i.entity, i.level
    from (select ${nextSeq}) n
  )`;

/** Whether the members of the room `r` see each other's positions: only while at most 100 users have marked something. */
export const hasReceipts = `coalesce(r.receipts, r.type = 'user2user') and (
      select count(*) from (
        select 1 from positions x where x.room_id = r.id and x.read_seq is not null limit 101
      ) marked
    ) <= 100`;
