import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { InvalidArgument, readCommandLine } from './command-line.ts';

const usage = `npm run new:feature -- NAME [ROOT]: writes the skeleton of a feature, which reads a room, with its test and its page of the
documentation. Replace its parts with your own.

  NAME     one word in lower case, such as reactions
  ROOT     another checkout (this one)
  --help`;

const { name, root } = readCommandLine(
  usage,
  {},
  (_, [name, root = resolve(import.meta.dirname, '..'), ...more]) => {
    if (!name || !/^[a-z]+$/.test(name)) throw new InvalidArgument('NAME must be one word in lower case');
    if (more.length > 0) throw new InvalidArgument(`Unexpected arguments: ${more.join(', ')}`);
    return { name, root };
  },
  { allowPositionals: true },
);
if (existsSync(join(root, 'src/features', name)))
  throw new Error(`src/features/${name} exists already: choose another name`);

const Name = `${name[0]!.toUpperCase()}${name.slice(1)}`;
const operation = `read${Name}`;
const title = `GET /rooms/:id/${name}`;

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text, { flag: 'wx' });
}

function edit(path: string, pattern: RegExp, replacement: string): void {
  const text = readFileSync(join(root, path), 'utf8');
  if (!pattern.test(text)) throw new Error(`${path} has changed: ${pattern} does not match, edit it by hand`);
  writeFileSync(join(root, path), text.replace(pattern, replacement));
}

write(
  `src/features/${name}/contract.ts`,
  `import { z } from 'zod';
import { defineAnswer, refusals } from '../../core/contract/rest.ts';
import { defineFeature } from '../../core/feature.ts';
import { RoomId } from '../../core/ids.ts';
import { costs } from '../../core/limits/request-costs.ts';
import { RoomParams } from '../../core/room.ts';

export const ${Name} = z.object({ room_id: RoomId, last_seq: z.int() });
export type ${Name} = z.infer<typeof ${Name}>;

export const ${name} = defineFeature('${name}', {
  description: 'The ${name} of a room.',
  rest: {
    ${operation}: {
      method: 'GET',
      path: '/rooms/:id/${name}',
      auth: 'user',
      cost: costs.read,
      summary: 'Read the ${name} of a room',
      description: 'For readers.',
      params: RoomParams,
      answers: {
        200: defineAnswer(200, {
          description: 'The ${name}.',
          content: ${Name},
          example: { room_id: 1, last_seq: 1 },
        }),
      },
      refusals: refusals.room,
    },
  },
});
`,
);
write(
  `src/features/${name}/handlers.ts`,
  `import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { ${operation} } from './read-${name}.ts';

export const ${name} = implement(contract.${name}, {
  async ${operation}({ context, actor, params: { id } }) {
    return { code: 200, content: await ${operation}(context, actor, id) };
  },
});
`,
);
write(
  `src/features/${name}/read-${name}.ts`,
  `import type { Actor } from '../../core/authorization.ts';
import type { RoomRef } from '../../core/ids.ts';
import { type AppContext, requireRoom } from '../app-context.ts';
import type { ${Name} } from './contract.ts';

export async function ${operation}(context: AppContext, actor: Actor, ref: RoomRef): Promise<${Name}> {
  const { room } = await requireRoom(context, actor, 'read', ref);
  return { room_id: room.id, last_seq: room.last_seq };
}
`,
);
write(
  `test/features/${name}.test.ts`,
  `import { expect } from 'chai';
import { describeEveryWiring } from '../helpers/node.ts';
import { expectRefusal } from '../helpers/refusals.ts';
import { rest } from '../helpers/rest-client.ts';
import { createRoomWithOwner } from '../helpers/rooms.ts';
import { createUser } from '../helpers/users.ts';

describeEveryWiring('${title}', ({ url }) => {
  it('answers a reader of the room', async () => {
    const { owner, room } = await createRoomWithOwner(url());
    const { status, body } = await rest(url(), owner.token).get(\`/rooms/\${room.id}/${name}\`);
    expect(status).to.equal(200);
    expect(body.content).to.deep.equal({ room_id: room.id, last_seq: 0 });
  });

  it('is NOT_FOUND for a user without a rule', async () => {
    const { room } = await createRoomWithOwner(url());
    expectRefusal(await rest(url(), createUser().token).get(\`/rooms/\${room.id}/${name}\`), 'NOT_FOUND');
  });
});
`,
);
write(
  `docs/protocol/features/${name}.md`,
  `# ${Name}

The ${name} of a room.

## REST

### \`${title}\`

Reads the ${name} of a room. Needs \`r\`.

\`\`\`json rest.Read${Name}.answer
{
  "meta": { "code": 200, "message": "OK" },
  "content": { "room_id": 1, "last_seq": 1 }
}
\`\`\`

## Refusals

The [common codes](../errors.md#common-codes), and those of [access to a room](members.md#refused-access).
`,
);

edit('src/features/index.ts', /(\n\n\/\*\*)/, `\nimport { ${name} } from './${name}/handlers.ts';$1`);
edit('src/features/index.ts', /(offerJoinOptions\(\[[^\]]*?),?\s*\]/, `$1, ${name}]`);
edit(
  'docs/protocol/rest.md',
  /(\n\| `POST \/admin\/revocations` )/,
  `\n| \`${title}\` | read the ${name} of a room | [${name}](features/${name}.md#get-roomsid${name}) |$1`,
);
edit(
  'docs/protocol/README.md',
  /(\n\| \[Operations\])/,
  `\n| [${Name}](features/${name}.md) | the ${name} of a room |$1`,
);
edit('docs/protocol/limits.md', /(\n\| another read \| `GET \/rooms\/:id`)/, `$1, \`${title}\``);

console.log(`src/features/${name} has a route, a use case, a test and a page. Next: npm run format && npm run check`);
