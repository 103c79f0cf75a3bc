import type { Scenario } from '../scenario.ts';
import { growthHistory } from './growth-history.ts';
import { growthMembers } from './growth-members.ts';
import { growthMemory } from './growth-memory.ts';
import { growthRoomList } from './growth-room-list.ts';
import { growthRooms } from './growth-rooms.ts';

/** How the service's own costs grow with what it holds. */
export const growth: Scenario[] = [growthMembers, growthRooms, growthHistory, growthRoomList, growthMemory];
