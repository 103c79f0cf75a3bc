import { bareSocketio, bareWs, natsServer, services } from '../contenders.ts';
import { atLeast, countOf, type Entrant, enter, faultsIn, figure, inTurn, named, type Scenario } from '../scenario.ts';

const senders = 8;
/**
 * The maximum number of messages that have not reached all members: enough to keep the server busy, too few to fill its
 * queues.
 */
const window = 16;

/** Measures one room at the maximum rate that all its members can follow. */
function fanOut(members: number): Scenario {
  return {
    name: `room-${members}`,
    title: `One room, ${members.toLocaleString('en-US')} members, maximum rate`,
    async run(databases, { rounds, seconds, against }) {
      const { ours, all } = await services(databases, against);
      const [ws, socketio] = [await bareWs(), await bareSocketio()];
      const nats = await natsServer();
      const entrants: Entrant[] = [];
      for (const contender of [ws, socketio, ...(nats ? [nats] : []), ...all]) {
        entrants.push(await enter(contender, { connections: members, rooms: await contender.rooms(1) }));
      }
      const measure = ({ entrant }: { entrant: Entrant }) =>
        countOf(entrant, (load) => load.fullDelivery(seconds, senders, window));
      for (const entrant of named(entrants)) await measure(entrant);
      const rows = await inTurn(named(entrants), rounds, measure);
      const perCpu = (name: string) => figure(rows, name, 'deliveriesPerServerCpuSecond');
      const reaches = [
        atLeast(
          1,
          'deliveries per server CPU-second, Socket.IO ÷ bare socket.io',
          perCpu(ours.socketio.name) / perCpu(socketio.name),
        ),
        atLeast(1, 'deliveries per server CPU-second, /chat ÷ bare ws', perCpu(ours.chat.name) / perCpu(ws.name)),
      ];
      if (nats) {
        const ratio = perCpu(ours.chat.name) / perCpu(nats.name);
        reaches.push(atLeast(1, 'deliveries per server CPU-second, /chat ÷ nats-server', ratio));
      }
      // Core NATS keeps only the order of each publisher, and this scenario has several publishers.
      const isFault = (fault: string) => !(nats && fault.startsWith(`${nats.name}: reordered`));
      return { rows, reaches: members >= 1_000 ? reaches : [], faults: faultsIn(rows).filter(isFault) };
    },
  };
}

export const fanOuts = [fanOut(100), fanOut(1_000)];
