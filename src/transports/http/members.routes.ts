import { Router } from 'express';
import { parse } from '../../core/errors.ts';
import { parseWithIgnored } from '../../core/unknown-keys.ts';
import type { AppContext } from '../../features/app-context.ts';
import { answerInvitation } from '../../features/members/invitations.ts';
import { listMembers, putMember, removeMember } from '../../features/members/members.ts';
import { memberRoutes } from '../../protocol/rest/members.ts';
import { getActor } from './authenticate-request.ts';
import { answer } from './envelope.ts';

export function createMemberRoutes(rooms: AppContext): Router {
  const routes = Router();

  routes.get('/:id/members', async (request, response) => {
    const { id } = parse(memberRoutes.listMembers.params, request.params);
    answer(response, await listMembers(rooms, getActor(request), id));
  });

  routes.put('/:id/members', async (request, response) => {
    const { id } = parse(memberRoutes.putMember.params, request.params);
    const { data, ignored } = parseWithIgnored(memberRoutes.putMember.body.schema, request.body);
    const { rule, created } = await putMember(rooms, getActor(request), id, data);
    answer(response, rule, { code: created ? 201 : 200, ignored });
  });

  routes.delete('/:id/members/:uuid', async (request, response) => {
    const { id, uuid } = parse(memberRoutes.removeMember.params, request.params);
    await removeMember(rooms, getActor(request), id, uuid);
    answer(response, null);
  });

  routes.put('/:id/invitation', async (request, response) => {
    const { id } = parse(memberRoutes.answerInvitation.params, request.params);
    const { data, ignored } = parseWithIgnored(memberRoutes.answerInvitation.body.schema, request.body);
    answer(response, await answerInvitation(rooms, getActor(request), id, data), { ignored });
  });

  return routes;
}
