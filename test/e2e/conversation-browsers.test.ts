import { isDeepStrictEqual } from 'node:util';
import { expect } from 'chai';
import type { Locator } from 'playwright-core';
import { chromium } from '../helpers/chromium.ts';
import { embedded, startNode } from '../helpers/node.ts';
import { createPerson, openRoomAs, type Playground } from '../helpers/playground.ts';
import { dataDirectory } from '../helpers/process.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoom, putRule, sendMessages } from '../helpers/rooms.ts';
import type { TestUser } from '../helpers/users.ts';
import { waitUntil } from '../helpers/wait-until.ts';

const shown = { state: 'visible' } as const;
const hidden = { state: 'hidden' } as const;
const timeoutMs = 60_000;

/** A message as the page shows it to everybody. */
interface ShownMessage {
  text: string;
  isEdited?: true;
  isDeleted?: true;
  reactions?: string[];
  replies?: string;
  quote?: string;
  /** Whether the message or a change of it has not been acknowledged. */
  isWaiting?: true;
}

/** One person with their own browser window. */
class Viewer {
  readonly name: string;
  readonly pane: Locator;
  readonly messages: Locator;
  readonly #playground: Playground;

  constructor(name: string, playground: Playground) {
    this.name = name;
    this.#playground = playground;
    this.pane = playground.pane(name);
    this.messages = playground.messages(name);
    playground.page.setDefaultTimeout(timeoutMs);
  }

  get problems(): string[] {
    return this.#playground.problems;
  }

  get field(): Locator {
    return this.pane.getByLabel(`Message as ${this.name}`);
  }

  message(text: string): Locator {
    return this.messages.locator('.message', { hasText: text });
  }

  send(text: string): Promise<void> {
    return this.#playground.send(this.name, text);
  }

  /** Clicks an action, which is hidden until the mouse is over the message. */
  async act(text: string, action: string): Promise<void> {
    await this.message(text).hover();
    await this.message(text).getByRole('button', { name: action, exact: true }).click();
  }

  async edit(text: string, now: string): Promise<void> {
    await this.act(text, 'Edit');
    await this.pane.getByText(`Edit: ${text}`).waitFor(shown);
    expect(await this.field.inputValue()).to.equal(text);
    expect(await this.field.evaluate((field) => field === field.ownerDocument.activeElement)).to.equal(true);
    await this.send(now);
  }

  room(name: string): Locator {
    return this.pane.getByRole('navigation').getByRole('button', { name });
  }

  async setOffline(isOffline: boolean): Promise<void> {
    await this.pane.getByRole('switch', { name: 'Offline' }).setChecked(isOffline, { force: true });
    const state = isOffline ? 'offline' : 'connected';
    await this.pane.getByRole('status').getByText(state, { exact: true }).waitFor(shown);
  }

  async reload(): Promise<void> {
    await this.#playground.page.reload();
  }

  async see(expected: ShownMessage[]): Promise<void> {
    const isSeen = async () => isDeepStrictEqual(await this.#view(), expected);
    // The comparison below says what is different.
    await waitUntil('the view', isSeen, timeoutMs).catch(() => {});
    expect(await this.#view(), `what ${this.name} sees`).to.deep.equal(expected);
  }

  #view(): Promise<ShownMessage[]> {
    return this.messages.locator('.message').evaluateAll((rows) =>
      rows.map((row) => {
        const textOf = (selector: string) => row.querySelector(selector)?.textContent?.trim();
        const [replies, quote, meta] = [textOf('.replies'), textOf('.quote'), textOf('.meta') ?? ''];
        const reactions = [...row.querySelectorAll('.reaction')].map((one) => one.getAttribute('aria-label') ?? '');
        return {
          text: textOf('.text') ?? '',
          ...(meta.startsWith('edited') && { isEdited: true as const }),
          ...(row.querySelector('.deleted') && { isDeleted: true as const }),
          ...(reactions.length > 0 && { reactions }),
          ...(replies && { replies }),
          ...(quote && { quote }),
          ...(/sending|changing|not sent/.test(meta) && { isWaiting: true as const }),
        };
      }),
    );
  }
}

describe('a conversation in two browsers', function () {
  this.timeout(300_000);
  let url: string;
  let link: string;
  let viewers: Viewer[] = [];

  before(async () => {
    const started = startNode(embedded, { JWT_SECRET: undefined }, (config) => ({
      ...config,
      dataDirectory: dataDirectory(),
    }));
    const [node] = await Promise.all([started, chromium()]);
    url = node.url;
    link = node.playgroundUrl!;
  });

  afterEach(() => {
    const problems = viewers.flatMap((viewer) => viewer.problems.splice(0));
    viewers = [];
    expect(problems).to.deep.equal([]);
  });

  async function createPeople(): Promise<{ Ada: TestUser; Ben: TestUser }> {
    const [Ada, Ben] = await Promise.all([createPerson(link, { level: 100 }), createPerson(link, {})]);
    return { Ada, Ben };
  }

  async function createRoomOf({ Ada, Ben }: { Ada: TestUser; Ben: TestUser }, name: string) {
    const room = await createRoom(url, Ada, { name, receipts: true });
    await putRule(url, Ada, room, { userUUID: Ben.user, permissions: 'rw' });
    await rest(url, Ben.token).put(`/rooms/${room.id}/invitation`, { accepted: true });
    return room;
  }

  async function open(people: { Ada: TestUser; Ben: TestUser }, room: { id: number }): Promise<[Viewer, Viewer]> {
    const [ada, ben] = await Promise.all([
      openRoomAs(link, 'Ada', people, room),
      openRoomAs(link, 'Ben', people, room),
    ]);
    const both: [Viewer, Viewer] = [new Viewer('Ada', ada), new Viewer('Ben', ben)];
    viewers = both;
    for (const { pane } of both) await pane.getByText('2 here').waitFor(shown);
    return both;
  }

  it('shows typing, receipts, edits, reactions, deletions, replies and unread messages to the other person', async () => {
    const people = await createPeople();
    const [room] = [await createRoomOf(people, 'Launch'), await createRoomOf(people, 'Hangar')];
    await sendMessages(url, people.Ben, room, 'Telemetry is green', 'The camera is cold');
    const [ada, ben] = await open(people, room);

    await ada.field.pressSequentially('Hel');
    await ben.pane.getByText('Ada typing…').waitFor(shown);
    await ben.send('All stations go');
    await ben.pane.getByText('Read by Ada').waitFor(shown);
    await ben.edit('Telemetry is green', 'Telemetry is all green');
    await ada.message('Telemetry is all green').getByText('edited').waitFor(shown);
    await ben.act('The camera is cold', 'Delete');
    await ada.messages.getByText('This message was deleted').waitFor(shown);
    await ada.act('All stations go', 'React with 👍');
    const reaction = (viewer: Viewer, name: string, pressed: boolean) =>
      viewer.message('All stations go').getByRole('button', { name, pressed });
    await reaction(ben, '👍 1', false).click();
    await reaction(ada, '👍 2', true).waitFor(shown);
    // Ada has sent nothing: the typing ends by itself.
    await ben.pane.getByText('Ada typing…').waitFor(hidden);

    await ada.act('All stations go', 'Thread');
    await ada.send('Only in the thread');
    await ben.message('All stations go').getByRole('button', { name: '1 reply' }).click();
    await ben.messages.getByText('Only in the thread').waitFor(shown);
    for (const { pane } of [ada, ben])
      await pane.getByRole('button', { name: 'Back to the room', exact: true }).click();
    const expected: ShownMessage[] = [
      { text: 'Telemetry is all green', isEdited: true },
      { text: 'This message was deleted', isDeleted: true },
      { text: 'All stations go', reactions: ['👍 2'], replies: '1 reply' },
    ];
    await Promise.all([ada.see(expected), ben.see(expected)]);

    await ada.room('Hangar').click();
    await ada.send('The doors are open');
    await ben.room('Hangar').getByText('1 unread').waitFor(shown);
    await ben.room('Hangar').click();
    await ben.messages.getByText('The doors are open').waitFor(shown);
    await ben.room('Hangar').getByText('unread').waitFor({ state: 'detached' });
    await ben.pane.getByRole('button', { name: 'Mute', exact: true }).click();
    await ben.pane.getByRole('button', { name: 'Unmute' }).waitFor(shown);
  });

  it('shows both people the same after one was offline while both edited, deleted, reacted and sent', async () => {
    const people = await createPeople();
    const room = await createRoomOf(people, 'Launch');
    await sendMessages(url, people.Ada, room, 'Good morning', 'We go at noon', 'Forget this');
    await sendMessages(url, people.Ben, room, 'Telemetry is green', 'The camera is cold');
    const [ada, ben] = await open(people, room);
    await ada.setOffline(true);

    await ben.edit('Telemetry is green', 'Telemetry is all green');
    await ben.act('The camera is cold', 'Delete');
    await ben.act('We go at noon', 'React with ❤️');
    await ben.act('Good morning', 'Thread');
    await ben.send('Only in the thread');
    await ben.messages.locator('.own', { hasText: 'Only in the thread' }).getByText('sent').waitFor();
    await ben.pane.getByRole('button', { name: 'Back to the room', exact: true }).click();
    await ben.send('Are you there?');
    await ben.see([
      { text: 'Good morning', replies: '1 reply' },
      { text: 'We go at noon', reactions: ['❤️ 1'] },
      { text: 'Forget this' },
      { text: 'Telemetry is all green', isEdited: true },
      { text: 'This message was deleted', isDeleted: true },
      { text: 'Are you there?' },
    ]);

    // Ben has deleted the message to which Ada reacts.
    await ada.act('The camera is cold', 'React with 😂');
    await ada.act('Telemetry is green', 'React with 👍');
    await ada.edit('We go at noon', 'We go at one');
    await ada.act('Forget this', 'Delete');
    await ada.send('Back soon');
    await ada.messages.locator('.pending', { hasText: 'Back soon' }).waitFor(shown);
    expect(await ada.message('Are you there?').count()).to.equal(0);
    await ada.setOffline(false);

    const expected: ShownMessage[] = [
      { text: 'Good morning', replies: '1 reply' },
      { text: 'We go at one', isEdited: true, reactions: ['❤️ 1'] },
      { text: 'This message was deleted', isDeleted: true },
      { text: 'Telemetry is all green', isEdited: true, reactions: ['👍 1'] },
      { text: 'This message was deleted', isDeleted: true },
      { text: 'Are you there?' },
      { text: 'Back soon' },
    ];
    await Promise.all([ada.see(expected), ben.see(expected)]);
    await Promise.all([ada.reload(), ben.reload()]);
    await Promise.all([ada.see(expected), ben.see(expected)]);
  });
});
