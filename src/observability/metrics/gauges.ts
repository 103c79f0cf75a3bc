import type { Registry } from 'prom-client';
import type { LiveTransport } from '../../transports/live-context.ts';
import { type Aggregator, type Cell, registerCounter, registerGauge, toSingleValue } from './fast-metrics.ts';

type PerTransport = Record<LiveTransport, number>;

/** The functions that return the current values. They are called whenever the metrics are requested. */
export interface GaugeSources {
  isDraining: () => boolean;
  unauthenticatedConnections: () => number;
  unauthenticatedConnectionsLimit: number;
  queuedRequests: () => number;
  queuedMessages: () => number;
  queuedMessagesLimit: number;
  activeRooms: () => number;
  inbox: () => { size: number; intervalMs: number; journalRows: number };
  sendBufferBytes: () => PerTransport;
  deliveries: () => PerTransport;
  /** Ephemeral messages that were dropped, because Redis or a connection did not keep up. */
  ephemeralDrops: () => PerTransport & { bus: number };
  isBusUp: () => boolean;
  tokenKeys: () => { isUp: boolean; ageMs: number };
  pendingPublishes: () => { messages: number; bytes: number };
  database: () => { isUp: boolean; failures: number; busy: number; idle: number; max: number; waiting: number };
  clockOffsetMs: () => number;
  oldestTransactionMs: () => number;
  deletedRooms: () => { rooms: number; messages: number; oldestMs: number; removedRows: number };
}

interface GaugeRow {
  name: string;
  help: string;
  labelNames?: readonly string[];
  /** By default, the values of the workers are added up. */
  aggregator?: Aggregator;
  read: () => Iterable<Cell>;
}

const toTransportCells = (counts: PerTransport): Cell[] =>
  Object.entries(counts).map(([transport, count]) => [{ transport }, count]);

export function registerGauges(registers: Registry[], sources: GaugeSources): void {
  for (const row of [
    ...listConnectionGauges(sources),
    ...listQueueGauges(sources),
    ...listInboxGauges(sources),
    ...listKeyGauges(sources),
    ...listDatabaseGauges(sources),
    ...listDeletionGauges(sources),
  ]) {
    registerGauge({ registers, ...row });
  }
  registerCounter({
    registers,
    name: 'nano_messaging_deliveries_total',
    help: 'Messages and other changes, each counted once for every connection that it was written to.',
    labelNames: ['transport'],
    read: () => toTransportCells(sources.deliveries()),
  });
  registerCounter({
    registers,
    name: 'nano_messaging_ephemeral_drops_total',
    help: 'What was dropped of typing and presence: messages to other nodes, and events to a connection that is congested.',
    labelNames: ['to'],
    read: () => Object.entries(sources.ephemeralDrops()).map(([to, count]): Cell => [{ to }, count]),
  });
  registerCounter({
    registers,
    name: 'nano_messaging_database_failures_total',
    help: 'Statements and transactions that the database did not answer, or could not carry out at that moment.',
    read: () => toSingleValue(sources.database().failures),
  });
  registerCounter({
    registers,
    name: 'nano_messaging_removed_rows_total',
    help: 'Rows of deleted rooms that this node has removed.',
    read: () => toSingleValue(sources.deletedRooms().removedRows),
  });
}

const listConnectionGauges = (sources: GaugeSources): GaugeRow[] => [
  {
    name: 'nano_messaging_draining',
    aggregator: 'max',
    help: '1 while the node drains.',
    read: () => toSingleValue(Number(sources.isDraining())),
  },
  {
    name: 'nano_messaging_unauthenticated_connections',
    help: 'Connections, on both live transports, that have not sent a valid token yet.',
    read: () => toSingleValue(sources.unauthenticatedConnections()),
  },
  {
    name: 'nano_messaging_unauthenticated_connections_limit',
    help: 'Limit beyond which the oldest connection without a token is closed; 0 means no limit.',
    read: () => toSingleValue(sources.unauthenticatedConnectionsLimit),
  },
  {
    name: 'nano_messaging_send_buffer_bytes',
    help: 'Bytes that were written to connections but not sent yet.',
    labelNames: ['transport'],
    read: () => toTransportCells(sources.sendBufferBytes()),
  },
  {
    name: 'nano_messaging_active_rooms',
    help: 'Rooms with subscribers on this node.',
    read: () => toSingleValue(sources.activeRooms()),
  },
];

const listInboxGauges = (sources: GaugeSources): GaugeRow[] => [
  {
    name: 'nano_messaging_open_inboxes',
    help: 'Connections with an open inbox.',
    read: () => toSingleValue(sources.inbox().size),
  },
  {
    name: 'nano_messaging_inbox_interval_seconds',
    aggregator: 'max',
    help: 'Time between two items of one room in an inbox: 1, and more while this node is beyond INBOX_ITEMS_PER_SECOND.',
    read: () => toSingleValue(sources.inbox().intervalMs / 1_000),
  },
  {
    name: 'nano_messaging_inbox_journal_rows',
    aggregator: 'max',
    help: 'Rows in the journal of the inboxes when this node last looked, about every minute.',
    read: () => toSingleValue(sources.inbox().journalRows),
  },
];

const listKeyGauges = (sources: GaugeSources): GaugeRow[] => [
  {
    name: 'nano_messaging_token_keys_up',
    aggregator: 'min',
    help: '1 if the last attempt to fetch JWT_JWKS_URL succeeded, or it is not set.',
    read: () => toSingleValue(Number(sources.tokenKeys().isUp)),
  },
  {
    name: 'nano_messaging_token_keys_age_seconds',
    aggregator: 'max',
    help: 'Age of the key set in use; 0 if JWT_JWKS_URL is not set or no key set has been fetched yet.',
    read: () => toSingleValue(sources.tokenKeys().ageMs / 1_000),
  },
];

const listQueueGauges = (sources: GaugeSources): GaugeRow[] => [
  {
    name: 'nano_messaging_queued_requests',
    help: 'Live requests that are waiting or being handled.',
    read: () => toSingleValue(sources.queuedRequests()),
  },
  {
    name: 'nano_messaging_queued_messages',
    help: 'Messages that wait for their commit.',
    read: () => toSingleValue(sources.queuedMessages()),
  },
  {
    name: 'nano_messaging_queued_messages_limit',
    help: 'Limit beyond which messages are refused with UNAVAILABLE.',
    read: () => toSingleValue(sources.queuedMessagesLimit),
  },
  {
    name: 'nano_messaging_bus_up',
    aggregator: 'min',
    help: '1 while the node receives what it publishes, through a master, and is subscribed to all its channels; also 1 without REDIS_URL.',
    read: () => toSingleValue(Number(sources.isBusUp())),
  },
  {
    name: 'nano_messaging_publishing_messages',
    help: 'Changes that are on their way to Redis.',
    read: () => toSingleValue(sources.pendingPublishes().messages),
  },
  {
    name: 'nano_messaging_publishing_bytes',
    help: 'Bytes of the changes that are on their way to Redis.',
    read: () => toSingleValue(sources.pendingPublishes().bytes),
  },
];

const listDatabaseGauges = (sources: GaugeSources): GaugeRow[] => [
  {
    name: 'nano_messaging_database_up',
    aggregator: 'min',
    help: '1 while the database accepts reads and writes, by its last answers. There is an answer at least every SWEEP_SECONDS.',
    read: () => toSingleValue(Number(sources.database().isUp)),
  },
  {
    name: 'nano_messaging_database_connections',
    help: 'Connections of the pool.',
    labelNames: ['state'],
    read: () => {
      const { busy, idle } = sources.database();
      return [
        [{ state: 'busy' }, busy],
        [{ state: 'idle' }, idle],
      ];
    },
  },
  {
    name: 'nano_messaging_database_connections_limit',
    help: 'Maximum number of connections of the pool.',
    read: () => toSingleValue(sources.database().max),
  },
  {
    name: 'nano_messaging_database_queued_statements',
    help: 'Statements and transactions that wait for a connection.',
    read: () => toSingleValue(sources.database().waiting),
  },
  {
    name: 'nano_messaging_database_clock_offset_seconds',
    aggregator: 'average',
    help: 'How far the clock of the database is ahead of the clock of the node.',
    read: () => toSingleValue(sources.clockOffsetMs() / 1_000),
  },
  {
    name: 'nano_messaging_database_oldest_transaction_seconds',
    aggregator: 'max',
    help: 'How long the oldest transaction, standby or replication slot has kept PostgreSQL from removing old rows of this database.',
    read: () => toSingleValue(sources.oldestTransactionMs() / 1_000),
  },
];

const listDeletionGauges = (sources: GaugeSources): GaugeRow[] => [
  {
    name: 'nano_messaging_deleted_rooms',
    help: 'Deleted rooms whose rows are not all removed, when this node last looked.',
    read: () => toSingleValue(sources.deletedRooms().rooms),
  },
  {
    name: 'nano_messaging_deleted_rooms_messages',
    help: 'Messages of these rooms that are not removed yet.',
    read: () => toSingleValue(sources.deletedRooms().messages),
  },
  {
    name: 'nano_messaging_deleted_rooms_oldest_seconds',
    help: 'Time since the first of these rooms was deleted; 0 without any.',
    read: () => toSingleValue(sources.deletedRooms().oldestMs / 1_000),
  },
];
