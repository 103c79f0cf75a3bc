import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { legacySessions, runLegacySessions } from '../helpers/legacy-sessions.ts';
import { embedded, startNode } from '../helpers/node.ts';

/**
 * Received from the last build without edits, reactions, threads and events on `/chat` (656a20f). Only the text of an
 * invalid `room_id` is the present one, because it names every form.
 */
const recorded: Record<string, string[][]> = JSON.parse(
  readFileSync(new URL('../fixtures/legacy-chat-frames.json', import.meta.url), 'utf8'),
);

/** The only field that messages have gained for all clients. */
const withoutVersion = (text: string) => text.replace(/(,"updatedAt":"DATE"),"version":\d+\}/, '$1}');

describe('/chat clients that know no events', function () {
  this.timeout(60_000);
  let received: Record<string, string[][]>;

  before(async () => {
    const node = await startNode(embedded);
    received = await runLegacySessions(node.url);
  });

  for (const title of Object.keys(legacySessions)) {
    it(`receive the same bytes as before, apart from dates and versions: ${title}`, () => {
      const texts = received[title]!.map((transcript) => transcript.map(withoutVersion));
      expect(texts).to.deep.equal(recorded[title]);
    });
  }

  it('receive a version in every message', () => {
    const messages = Object.values(received)
      .flat(2)
      .filter((text) => text.startsWith('{"type":"message"'));
    expect(messages).to.have.lengthOf.above(14);
    for (const text of messages) expect(text).to.match(/"updatedAt":"DATE","version":\d+\}/);
  });
});
