/** What a token says of rights, as far as it can be read without its key. */
export interface Claims {
  user: string;
  entity: string | undefined;
  level: string;
}

/** Undefined for what cannot be read, also where there is no `atob`: then every change of rights may be ours. */
export function decodeClaims(token: string): Claims | undefined {
  try {
    const base64 = token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/');
    const { userUUID, sub, entityUUID, levelOnEntity = 0 } = JSON.parse(atob(base64));
    return {
      user: String(userUUID ?? sub).toLowerCase(),
      entity: entityUUID && String(entityUUID).toLowerCase(),
      level: String(levelOnEntity),
    };
  } catch {
    return undefined;
  }
}

/** Whether a rule may be about the actor of the token. */
export function affectsActor(rule: { entity_UUID: string; kind: string }, claims: Claims | undefined): boolean {
  if (!claims) return true;
  const { user, entity } = claims;
  return (rule.entity_UUID === user && rule.kind !== 'entity') || (rule.entity_UUID === entity && rule.kind !== 'user');
}
