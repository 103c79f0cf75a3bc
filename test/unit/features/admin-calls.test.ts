import { expect } from 'chai';
import { adminRoutes } from '../../../src/features/admin-calls.ts';
import { routes } from '../../helpers/contracts.ts';

describe('server.admin', () => {
  it('has a function for every route below /admin', () => {
    const expected = routes.filter(({ route }) => route.auth === 'admin').map(({ route }) => route);
    expect(Object.values(adminRoutes).flatMap((group) => Object.values(group))).to.have.members(expected);
  });
});
