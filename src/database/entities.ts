import { RevocationEntity } from '../auth/revocation.entity.ts';
import { conversationTables } from '../core/log/conversation.entity.ts';
import { MessageEntity } from '../core/log/message.entity.ts';
import { PermissionRuleEntity } from '../core/log/permission-rule.entity.ts';
import { RoomEntity } from '../core/log/room.entity.ts';
import { RoomChangeEntity } from '../core/log/room-change.entity.ts';
import { RoomKeyEntity } from '../core/log/room-key.entity.ts';
import { readStateTables } from '../features/reads/position.entity.ts';
import { DeletedRoomEntity } from '../features/rooms/deleted-room.entity.ts';
import { webhookTables } from '../features/webhooks/webhook.entity.ts';
import { ImportedRoomEntity } from './imported-room.entity.ts';
import { LeaseEntity } from './lease.entity.ts';
import { ServiceIdentityEntity } from './service-identity.entity.ts';

/** The entities of all tables. MikroORM compares them with the migrations. */
export const entities = [
  RoomEntity,
  PermissionRuleEntity,
  MessageEntity,
  RoomChangeEntity,
  RoomKeyEntity,
  ...conversationTables,
  ...readStateTables,
  DeletedRoomEntity,
  ...webhookTables,
  LeaseEntity,
  RevocationEntity,
  ImportedRoomEntity,
  ServiceIdentityEntity,
];
