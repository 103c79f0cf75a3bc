import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { checkConsumers } from '../../../tools/torture/oracle-webhooks.ts';
import { type ConsumedChange, type Delivery, type Evidence, newEvidence } from '../../../tools/torture/record.ts';
import type { Entry, RoomHistory, StoredMessage } from '../../../tools/torture/room-history.ts';
import { WebhookReceiver } from '../../../tools/torture/webhook-receiver.ts';
import { closeLater } from '../../helpers/cleanup.ts';

const room = 7;
const committedAt = (rev: number) => Math.round(performance.timeOrigin) + rev * 1_000;

const entry = (rev: number, kind: Entry['kind'], seq?: number): Entry => ({
  ...{ rev, kind, seq, at: committedAt(rev), text: kind === 'member' ? 'rule' : '' },
});

/** A rule, two messages, and an edit of the first. */
function createHistory(): RoomHistory {
  const entries = [entry(1, 'member'), entry(2, 'message', 1), entry(3, 'message', 2), entry(4, 'edit', 1)];
  const messages = new Map<number, StoredMessage>();
  const head = { lastRev: 4, lastSeq: 2, lastChangeAt: committedAt(4) };
  return { room, name: 'room', ...head, entries, messages, positions: new Map() };
}

const change = (rev: number, name: ConsumedChange['name'], seq?: number, version?: number): ConsumedChange => ({
  ...{ room, rev, name, seq, cursor: `c${rev}`, text: name === 'member:changed' ? 'rule' : '' },
  ...(version !== undefined && { version }),
});

const delivery = (second: number, ...changes: ConsumedChange[]): Delivery => ({
  ...{ at: second * 1_000 + (committedAt(0) - performance.timeOrigin), isAccepted: true, changes },
});

/** The creation of the room, then everything, one request each second. */
const live = (): Delivery[] => [
  delivery(1, change(0, 'room.created')),
  delivery(2, change(1, 'member:changed')),
  delivery(3, change(2, 'message:new', 1, 2), change(3, 'message:new', 2, 3)),
  delivery(5, change(4, 'message:changed', 1, 4)),
];

function decision(deliveries: Delivery[], evidence: Evidence = newEvidence()): string[] {
  evidence.consumers.set('webhook', deliveries);
  const said: string[] = [];
  checkConsumers(evidence, createHistory(), [], (fault, what) => void said.push(`${fault}: ${what}`));
  return said;
}

describe('the oracle of the torture run, about webhooks', () => {
  it('accepts every change in the order of the log, and measures the delays', () => {
    const evidence = newEvidence();
    expect(decision(live(), evidence)).to.deep.equal([]);
    const delays = evidence.consumerDelays.get('webhook, no fault')!.map(Math.round);
    expect(delays).to.deep.equal([1_000, 1_000, 0, 1_000]);
  });

  it('accepts a message in its present state, and counts what came again', () => {
    const evidence = newEvidence();
    const replay = delivery(
      ...[6, change(2, 'message:new', 1, 4), change(3, 'message:new', 2, 3), change(4, 'change:skipped')],
    );
    expect(decision([...live(), replay], evidence)).to.deep.equal([]);
    expect(evidence.duplicates.get('webhook')).to.equal(3);
    expect(decision([...live().slice(0, 2), replay]), 'instead of the first').to.deep.equal([]);
  });

  it('ignores what the receiver did not accept', () => {
    const [created, rule, messages, edit] = live() as [Delivery, Delivery, Delivery, Delivery];
    expect(decision([created, rule, { ...edit, isAccepted: false }, messages, edit])).to.deep.equal([]);
    expect(decision([created, rule, { ...messages, isAccepted: false }, edit])).to.deep.equal([
      'lost: the webhook, room 7: rev 4 at rev 1',
    ]);
  });

  it('finds a change that never came, in the middle and at the end', () => {
    const [created, rule, messages, edit] = live() as [Delivery, Delivery, Delivery, Delivery];
    expect(decision([created, messages, edit])).to.deep.equal(['lost: the webhook, room 7: rev 2 at rev 0']);
    expect(decision([created, rule, messages])).to.deep.equal(['lost: the webhook, room 7: ends at rev 3 of 4']);
    expect(decision([])).to.deep.equal(['lost: the webhook, room 7: ends at rev -1 of 4']);
  });

  it('finds the creation that never came', () => {
    expect(decision(live().slice(1))).to.deep.equal(['lost: the webhook, room 7: rev 1 at rev -1']);
  });

  it('finds a request whose changes are not in order', () => {
    const deliveries = live();
    deliveries[2]!.changes.reverse();
    expect(decision(deliveries)).to.include('reordered: the webhook, room 7: rev 2 after rev 3 in one request');
  });

  it('finds a change that differs from the log, and one that is skipped although the message was not given', () => {
    const wrong = live();
    wrong[3] = delivery(5, change(4, 'member:changed'));
    expect(decision(wrong)).to.deep.equal([
      'altered: the webhook, room 7: rev 4 delivered as member:changed of seq undefined, stored as edit of seq 1',
    ]);
    const skipped = live();
    skipped[3] = delivery(5, change(4, 'change:skipped'));
    expect(decision(skipped)).to.deep.equal([
      'altered: the webhook, room 7: rev 4 skipped, stored as edit of seq 1, but the message was given as version 2',
    ]);
  });

  it('finds a change that came again with another cursor', () => {
    const again = delivery(6, { ...change(4, 'message:changed', 1, 4), cursor: 'other' });
    expect(decision([...live(), again])).to.deep.equal([
      'altered: the webhook, room 7: rev 4 has the cursors c4 and other',
    ]);
  });
});

describe('the receiver of the torture run', () => {
  const payload = JSON.stringify({
    type: 'changes',
    timestamp: '2026-11-23T23:23:21.140Z',
    data: {
      changes: [
        {
          room: { id: room, uuid: '47e8ab37-38ab-47f3-b0d1-d7ab02dc6fa0', key: null, type: 'group', name: 'Launch' },
          name: 'change:skipped',
          payload: { room_id: room, rev: 4, cursor: '7.4.mwtw6795' },
        },
      ],
    },
  });

  async function start() {
    const evidence = newEvidence();
    const receiver = new WebhookReceiver(evidence);
    await receiver.start();
    closeLater(() => receiver.stop());
    const [{ url, secret }] = JSON.parse(receiver.settings.WEBHOOKS!) as [{ url: string; secret: string }];
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    const signature = `v1,${createHmac('sha256', key).update(`msg.${timestamp}.${payload}`).digest('base64')}`;
    const headers = { 'webhook-id': 'msg', 'webhook-timestamp': timestamp, 'webhook-signature': signature };
    const post = (more: Record<string, string> = {}, body = payload) =>
      fetch(url, { method: 'POST', headers: { ...headers, ...more }, body }).then(
        ({ status }) => status,
        () => 'no answer',
      );
    return { evidence, receiver, post, deliveries: evidence.consumers.get('webhook')! };
  }

  it('records what it accepts', async () => {
    const { evidence, receiver, post, deliveries } = await start();
    expect(await post()).to.equal(204);
    expect(deliveries).to.have.length(1);
    expect(deliveries[0]).to.deep.include({
      isAccepted: true,
      changes: [{ room, rev: 4, cursor: '7.4.mwtw6795', name: 'change:skipped', seq: undefined, text: '' }],
    });
    expect(evidence.violations).to.deep.equal([]);
    expect(receiver.missing(new Map([[room, { rev: 4, seq: 2, message: 3 }]]))).to.deep.equal([
      'the consumer is at rev 0 of 4 in room 7',
    ]);
  });

  it('finds a wrong signature and an undocumented body', async () => {
    const { evidence, post } = await start();
    await post({ 'webhook-signature': 'v1,wrong' });
    expect(evidence.violations.map(({ what }) => what)).to.deep.equal(['the webhook msg has the signature v1,wrong']);
    expect(await post({}, '{"type":"other"}')).to.equal(500);
    expect(evidence.violations.at(-1)!.what).to.include('an undocumented request to the webhook');
  });

  for (const [mode, answer, isAccepted] of [
    ['error', 500, false],
    ['lost', 'no answer', true],
  ] as const) {
    it(`answers with ${answer} in the mode ${mode}`, async () => {
      const { receiver, post, deliveries } = await start();
      receiver.mode = mode;
      expect(await post()).to.equal(answer);
      expect(deliveries.map((one) => one.isAccepted)).to.deep.equal([isAccepted]);
    });
  }

  it('does not listen while it is down, and listens again at the same port', async () => {
    const { receiver, post } = await start();
    const failing = receiver.fail('down', 200);
    expect(await post()).to.equal('no answer');
    await failing;
    expect(await post()).to.equal(204);
  });
});
