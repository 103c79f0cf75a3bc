export const ms = (column: string) => `(extract(epoch from ${column}) * 1000)::float8`;

/** `rule` is the alias of the table of rules. */
export const ruleJson = (rule: string) => `json_build_object('entity_UUID', ${rule}.grantee, 'kind', ${rule}.kind,
  'permissions', ${rule}.permissions, 'level', ${rule}.level, 'accepted', ${rule}.accepted,
  'created', ${ms(`${rule}.created_at`)}, 'updated', ${ms(`${rule}.updated_at`)})`;

/**
 * Locks the rooms in the order of their ids: first those that are free, then the others, for which it waits until
 * `lock_timeout`. Afterwards, `v_locked` contains the locked rooms. The function has to declare `v_locked` and `v_others`.
 *
 * `prepareWait` is a statement that is executed only if the function has to wait.
 */
export const lockRooms = (ids: string, prepareWait = '') => `select array_agg(l.id) into v_locked from (
    select r.id from rooms r where r.id = any(${ids}) order by r.id for no key update skip locked
  ) l;
  select array_agg(r.id) into v_others from rooms r where r.id = any(${ids}) and not r.id = any(coalesce(v_locked, '{}'));
  if v_others is not null then${prepareWait && `\n    ${prepareWait}`}
    begin
      perform 1 from rooms r where r.id = any(v_others) order by r.id for no key update;
      v_locked := v_locked || v_others;
    exception when lock_not_available then
      null;
    end;
  end if;`;
