import { expect } from 'chai';
import { PeerRooms } from '../../../src/cluster/peer-rooms.ts';

describe('PeerRooms', () => {
  it('finds the workers that serve a room', () => {
    const peers = new PeerRooms();
    peers.update(2, { added: ['a', 'b'], removed: [] });
    peers.update(3, { added: ['b'], removed: [] });
    expect(peers.find(['b'])).to.deep.equal([2, 3]);
    expect(peers.find(['a', 'x'])).to.deep.equal([2]);
    expect(peers.find(['x'])).to.deep.equal([]);
    expect(['a', 'b', 'x'].filter((room) => peers.serve(room))).to.deep.equal(['a', 'b']);
    peers.update(2, { added: ['c'], removed: ['b'] });
    expect(peers.find(['b'])).to.deep.equal([3]);
    peers.update(3, undefined);
    expect(['a', 'b', 'c'].filter((room) => peers.serve(room))).to.deep.equal(['a', 'c']);
  });
});
