// Examples for the OpenAPI and AsyncAPI documents. The tests check that each example matches its schema.

export const ana = 'aaaaaaaa-0000-4000-8000-000000000001';
export const ben = 'bbbbbbbb-0000-4000-8000-000000000002';
export const entity = 'eeeeeeee-0000-4000-8000-000000000009';

export const exampleRoom = {
  id: 1,
  uuid: '47e8ab37-38ab-47f3-b0d1-d7ab02dc6fa0',
  name: 'Launch',
  type: 'group',
  level_admin: 100,
  user_owner: ana,
  entity_owner: entity,
  max_entity_rules: 10,
  last_seq: 1,
  createdAt: '2026-11-23T23:23:20.710Z',
  updatedAt: '2026-11-23T23:23:20.710Z',
} as const;

export const exampleRule = {
  room_id: 1,
  entity_UUID: ben,
  kind: 'user',
  permissions: 'rw',
  level: 0,
  accepted: false,
  declined: false,
  createdAt: '2026-11-23T23:23:20.846Z',
  updatedAt: '2026-11-23T23:23:20.846Z',
} as const;

export const examplePosition = { rev: 3, cursor: '1.3.mwtw6795' } as const;

export const exampleMessage = {
  id: 1,
  room_id: 1,
  seq: 1,
  emitter: ana,
  content: 'Fueled up and ready to go',
  client_msg_id: 'k3f9',
  createdAt: '2026-11-23T23:23:21.017Z',
  updatedAt: '2026-11-23T23:23:21.017Z',
  version: 3,
} as const;

export const exampleEditedMessage = {
  ...exampleMessage,
  content: 'Fueled up, ready to go',
  updatedAt: '2026-11-23T23:24:02.500Z',
  version: 4,
  editedAt: '2026-11-23T23:24:02.500Z',
} as const;

export const exampleRevocation = {
  id: 1,
  userUUID: ben,
  issued_before: 1_795_562_000,
  jti: null,
  createdAt: '2026-11-23T23:23:30.120Z',
} as const;

export const exampleInboxItem = {
  ...exampleRule,
  ...exampleRoom,
  activityAt: '2026-11-23T23:23:21.017Z',
  read_seq: 0,
  version: 0,
  unread: 1,
  unread_mentions: 0,
  muted: false,
  hidden: false,
  last_message: {
    seq: 1,
    emitter: ana,
    content: 'Fueled up and ready to go',
    createdAt: '2026-11-23T23:23:21.017Z',
    updatedAt: '2026-11-23T23:23:21.017Z',
  },
} as const;
