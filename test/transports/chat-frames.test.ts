import { expect } from 'chai';
import { authenticatedChat, chatClient } from '../helpers/chat-client.ts';
import { describeOneWiring } from '../helpers/node.ts';
import { rest } from '../helpers/rest-client.ts';
import { createUser } from '../helpers/users.ts';

describeOneWiring('/chat frames', ({ url }) => {
  it('handles frames in order if all of them are sent in one burst before START? was read', async () => {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(url(), owner.token).post('/rooms', { name: 'burst' })).body.content;
    const chat = await chatClient(url());
    chat.send({ type: 'token', content: owner.token });
    chat.send({ type: 'select_room', room_id: room.id });
    chat.send({ type: 'message', content: 'the legacy service lost this one' });
    chat.send({ type: 'get_past_messages', id: 'end' });
    chat.send({ type: 'hello' });
    chat.send({ type: 'select_room', room_id: 999_999_999 });
    chat.send({ type: 'message', content: 'to nobody' });
    chat.send({ type: 'quit' });
    chat.send({ type: 'hello' });
    const words = [];
    for (let n = 0; n < 9; n++) {
      const { type, data } = await chat.next();
      words.push(type === 'message' ? data.content : data);
    }
    const content = 'the legacy service lost this one';
    const answers = [
      'START?',
      'READY',
      'CONNECTED',
      content,
      content,
      'HISTORY',
      'COMMAND?',
      'NOTAUTHORIZED',
      'SELECTROOM?',
    ];
    expect(words).to.deep.equal(answers);
    expect(await chat.closed).to.equal(1000);
    expect(chat.unread).to.deep.equal([]);
  });

  it('accepts a message of full size in a burst while the token is still being verified', async () => {
    const owner = createUser({ level: 100 });
    const { room } = (await rest(url(), owner.token).post('/rooms', { name: 'large burst' })).body.content;
    const chat = await chatClient(url());
    const content = 'x'.repeat(8_192);
    chat.send({ type: 'token', content: owner.token });
    chat.send({ type: 'select_room', room_id: room.id });
    chat.send({ type: 'message', content });
    const echo = await chat.skipTo(({ type }) => type === 'message');
    expect(echo.data.content).to.equal(content);
  });

  const unknown: Record<string, string> = {
    'an unknown type': '{"type":"hello"}',
    'a type in capitals': '{"type":"MESSAGE"}',
    'no type': '{"content":"x"}',
    'a type that is not a string': '{"type":7}',
    'a type that is a list': '{"type":["message"]}',
    'a type that is the name of an inherited property': '{"type":"constructor"}',
    'the type __proto__': '{"type":"__proto__"}',
    'null (it crashed the legacy service)': 'null',
    'a list': '[{"type":"quit"}]',
    'a number': '42',
    'a string': '"quit"',
    true: 'true',
  };
  for (const [title, frame] of Object.entries(unknown)) {
    it(`answers ${title} with COMMAND?`, async () => {
      const chat = await authenticatedChat(url(), createUser());
      for (let n = 0; n < 4; n++) {
        chat.sendRaw(frame);
        expect(await chat.next()).to.deep.equal({ type: 'query', data: 'COMMAND?' });
      }
    });
  }

  for (const id of ['x', '', 'x'.repeat(64), 0, -1, 1.5]) {
    it(`returns the id ${JSON.stringify(id)} in the answer`, async () => {
      const chat = await authenticatedChat(url(), createUser());
      chat.send({ type: 'hello', id });
      expect(await chat.next()).to.deep.equal({ type: 'query', data: 'COMMAND?', id });
    });
  }

  for (const id of ['x'.repeat(65), null, true, ['x'], { x: 1 }]) {
    it(`answers without an id if the id is ${JSON.stringify(id)}`, async () => {
      const chat = await authenticatedChat(url(), createUser());
      chat.send({ type: 'hello', id });
      expect(await chat.next()).to.deep.equal({ type: 'query', data: 'COMMAND?' });
    });
  }

  const notJson: Record<string, string | Buffer> = {
    'half an object': '{"type":"message"',
    words: 'hello',
    nothing: '',
    undefined: 'undefined',
    'two objects': '{"type":"hello"}{"type":"hello"}',
    'bytes in a binary frame': Buffer.of(0, 1, 2),
  };
  for (const [title, frame] of Object.entries(notJson)) {
    it(`answers ${title} with BADJSON and closes with 4400`, async () => {
      const chat = await authenticatedChat(url(), createUser());
      chat.sendRaw(frame);
      expect(await chat.next()).to.deep.equal({ type: 'status', data: 'BADJSON' });
      expect(await chat.closed).to.equal(4400);
    });
  }

  it('ignores all frames after BADJSON', async () => {
    const chat = await authenticatedChat(url(), createUser());
    for (const frame of ['{', '{"type":"hello"}']) chat.sendRaw(frame);
    expect(await chat.next()).to.include({ data: 'BADJSON' });
    expect(await chat.closed).to.equal(4400);
    expect(chat.unread).to.deep.equal([]);
  });

  it('closes with 1000 after quit', async () => {
    const chat = await authenticatedChat(url(), createUser());
    chat.send({ type: 'quit' });
    expect(await chat.closed).to.equal(1000);
  });

  it('answers every frame of a long queue in order', async () => {
    const chat = await authenticatedChat(url(), createUser());
    for (let id = 0; id < 3_000; id++) chat.send({ type: 'hello', id });
    for (let id = 0; id < 3_000; id++) expect(await chat.next()).to.include({ data: 'COMMAND?', id });
  });
});
