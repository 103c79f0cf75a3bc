import { implement } from '../app-context.ts';
import * as contract from './contract.ts';
import { answerInvitation } from './invitations.ts';
import { listMembers, putMember, removeMember } from './members.ts';

export const members = implement(contract.members, {
  async listMembers({ context, actor, params: { id } }) {
    return { code: 200, content: await listMembers(context, actor, id) };
  },
  async putMember({ context, actor, params: { id }, body }) {
    const { rule, created } = await putMember(context, actor, id, body);
    return { code: created ? 201 : 200, content: rule };
  },
  async removeMember({ context, actor, params: { id, uuid } }) {
    await removeMember(context, actor, id, uuid);
    return { code: 200, content: null };
  },
  async answerInvitation({ context, actor, params: { id }, body }) {
    return { code: 200, content: await answerInvitation(context, actor, id, body) };
  },
});
