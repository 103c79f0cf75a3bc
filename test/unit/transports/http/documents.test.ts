import { readFileSync } from 'node:fs';
import SwaggerParser from '@apidevtools/swagger-parser';
import { Parser } from '@asyncapi/parser';
import { expect } from 'chai';
import type { Answer } from '../../../../src/core/contract/rest.ts';
import { serverEvents } from '../../../../src/core/contract/socketio.ts';
import { createAsyncapiDocument } from '../../../../src/transports/http/documents/asyncapi.ts';
import { createOpenapiDocument, type Readers } from '../../../../src/transports/http/documents/openapi.ts';
import { chatCommands, chatFrames, contracts, featureEvents, requests, routes } from '../../../helpers/contracts.ts';
import type { Json } from '../../../helpers/json.ts';
import { createCheck, disallowUnknownKeys } from '../../../helpers/json-checks.ts';

const toJson = (document: object): Json => JSON.parse(JSON.stringify(document));
const documents = {
  public: toJson(createOpenapiDocument(contracts, 'public')),
  admin: toJson(createOpenapiDocument(contracts, 'admin')),
};
const components: Record<Readers, string[]> = {
  public: ['Room', 'Message', 'PermissionRule', 'ListedRoom', 'CreateRoom', 'PutMember'],
  admin: ['Revocation', 'CreateRevocation'],
};
const asyncapi: Json = JSON.parse(JSON.stringify(createAsyncapiDocument(contracts)));

describe('the contracts', () => {
  for (const { name, route } of routes) {
    const { body, answers } = route;
    it(`have true examples of ${name}`, () => {
      for (const [what, example] of Object.entries(body?.examples ?? {})) {
        expect(body!.schema.safeParse(example).error, what).to.equal(undefined);
      }
      for (const { schema, example } of Object.values<Answer>(answers)) {
        // Equal to the parsed value: the schema knows all of its keys.
        if (example !== undefined) expect(schema.parse(example)).to.deep.equal(example);
      }
    });
  }
});

for (const [readers, openapi] of Object.entries(documents)) {
  describe(`the OpenAPI document (${readers})`, () => {
    it('is valid', async () => {
      await SwaggerParser.validate(structuredClone(openapi));
    });

    it('has the version of the package', () => {
      const { version } = JSON.parse(readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8'));
      expect(openapi.info.version).to.equal(version);
    });

    it('refers to shared components', () => {
      const paths = JSON.stringify(openapi.paths);
      for (const name of components[readers as Readers]) {
        expect(openapi.components.schemas).to.have.property(name);
        expect(paths).to.include(`{"$ref":"#/components/schemas/${name}"}`);
      }
      for (const name of Object.keys(openapi.components.responses)) {
        expect(paths).to.include(`{"$ref":"#/components/responses/${name}"}`);
      }
    });

    it('has only the routes for its readers', () => {
      for (const path of Object.keys(openapi.paths)) {
        expect(path.startsWith('/admin/'), path).to.equal(readers === 'admin');
      }
      const text = JSON.stringify(openapi);
      if (readers === 'public') expect(text).not.to.match(/ADMIN_TOKEN|\/admin/);
    });

    it('describes every operation, parameter and answer', () => {
      for (const operation of Object.values<Json>(openapi.paths).flatMap((item) => Object.values<Json>(item))) {
        expect(operation.summary, operation.operationId).to.match(/^[A-Z].*[^.]$/);
        for (const { name, description, schema } of operation.parameters ?? []) {
          const shown = description ?? openapi.components.schemas[schema.$ref?.split('/').at(-1)]?.description;
          expect(shown, `${operation.operationId} ${name}`).to.be.a('string');
        }
      }
    });

    it('has valid examples in its schemas', () => {
      const check = createCheck(disallowUnknownKeys(openapi));
      for (const [name, { examples = [] }] of Object.entries<Json>(openapi.components.schemas)) {
        for (const example of examples)
          expect(check(['components', 'schemas', name], example), name).to.equal(undefined);
      }
    });

    it('has refusals whose examples are valid', () => {
      const check = createCheck(disallowUnknownKeys(openapi));
      for (const [name, { content }] of Object.entries<Json>(openapi.components.responses)) {
        const place = ['components', 'responses', name, 'content', 'application/json', 'schema'];
        for (const { value } of Object.values<Json>(content['application/json'].examples)) {
          expect(check(place, value), name).to.equal(undefined);
          expect(check(place, { ...value, meta: { ...value.meta, reason: 'OTHER' } }), name).to.be.a('string');
        }
      }
    });
  });
}

describe('the AsyncAPI document', () => {
  it('has the version of the package', () => {
    expect(asyncapi.info.version).to.equal(documents.public.info.version);
  });

  it('is valid', async () => {
    const { diagnostics } = await new Parser().parse(JSON.stringify(asyncapi));
    // 0 is an error, 1 a warning.
    expect(diagnostics.filter(({ severity }) => severity <= 1).map(({ message }) => message)).to.deep.equal([]);
  });

  it('has every request, event, command and frame by its name', () => {
    const named = (channel: string, part: RegExp) =>
      Object.keys(asyncapi.channels[channel].messages)
        .filter((key) => part.test(key))
        .map((key) => asyncapi.components.messages[`${channel}.${key}`].name);
    expect(named('rooms', /\.request$/)).to.have.members(Object.keys(requests));
    expect(named('rooms', /^(?!connect)[^.]+$/)).to.have.members(Object.keys({ ...serverEvents, ...featureEvents }));
    expect(named('chat', /^command\./)).to.have.members(Object.keys(chatCommands));
    expect(named('chat', /^frame\./)).to.have.members(Object.keys(chatFrames));
  });

  it('has every message in an operation', () => {
    const used = new Set(
      Object.values<Json>(asyncapi.operations).flatMap(({ messages, reply }) =>
        [...messages, ...(reply?.messages ?? [])].map(({ $ref }: Json) => $ref),
      ),
    );
    // The refusals of a command are a separate message for each command.
    const unused = Object.entries<Json>(asyncapi.channels).flatMap(([channel, { messages }]) =>
      Object.keys(messages).filter((key) => !used.has(`#/channels/${channel}/messages/${key}`)),
    );
    expect(unused).to.deep.equal(['frame.ERROR']);
  });

  it('has valid examples in its messages', () => {
    const check = createCheck(disallowUnknownKeys(asyncapi));
    const resolved = ({ $ref }: Json) => ($ref ? asyncapi.components.schemas[$ref.split('/').at(-1)] : undefined);
    for (const [key, { payload }] of Object.entries<Json>(asyncapi.components.messages)) {
      const { examples = [] } = resolved(payload) ?? payload;
      for (const example of examples) {
        expect(check(['components', 'messages', key, 'payload'], example), key).to.equal(undefined);
      }
      if (!/ack|refusal/.test(key)) expect(examples, key).not.to.be.empty;
    }
  });

  for (const name of Object.keys(chatFrames)) {
    it(`has an example of ${name} that fits no other frame`, () => {
      for (const example of chatFrames[name]!.meta()!.examples as unknown[]) {
        const fitting = Object.entries(chatFrames).filter(([, schema]) => schema.safeParse(example).success);
        expect(fitting.map(([fits]) => fits)).to.deep.equal([name]);
      }
    });
  }
});
