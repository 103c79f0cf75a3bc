import type { Scenario } from '../scenario.ts';
import { connecting } from './connecting.ts';
import { conversation } from './conversation.ts';
import { fanOuts } from './fan-out.ts';
import { growth } from './growth.ts';
import { history } from './history.ts';
import { idle } from './idle.ts';
import { inbox } from './inbox.ts';
import { joining } from './joining.ts';
import { manyRooms } from './many-rooms.ts';
import { scaleConnections } from './scale-connections.ts';
import { scaleDatabase } from './scale-database.ts';
import { scaleMembers } from './scale-members.ts';
import { scaleNodes } from './scale-nodes.ts';
import { sends } from './sends.ts';
import { twoNodes } from './two-nodes.ts';
import { upgrade } from './upgrade.ts';
import { workersScenario } from './workers.ts';

export const scenarios: Scenario[] = [
  sends,
  ...fanOuts,
  manyRooms,
  twoNodes,
  connecting,
  ...joining,
  idle,
  history,
  conversation,
  inbox,
  ...growth,
  ...scaleConnections,
  scaleNodes,
  scaleDatabase,
  scaleMembers,
  upgrade,
  workersScenario,
];
