import type { Scenario } from '../scenario.ts';
import { growthHistory } from './growth-history.ts';
import { growthMembers } from './growth-members.ts';
import { growthMemory } from './growth-memory.ts';
import { growthRoomList } from './growth-room-list.ts';
import { growthRooms } from './growth-rooms.ts';

export const growth: Scenario[] = [growthMembers, growthRooms, growthHistory, growthRoomList, growthMemory];
