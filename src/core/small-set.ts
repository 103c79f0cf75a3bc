/** The members of a `SmallSet` or a `Set`. */
export type Members<T> = Iterable<T> & Pick<ReadonlySet<T>, 'size' | 'has'>;

/**
 * A set that needs no table while it has at most one member. Most rooms have one connection on a node, and the table of an
 * empty `Set` has 130 bytes. The members must not be instances of `Set` themselves.
 */
export class SmallSet<T extends object> implements Members<T> {
  #members: T | Set<T> | undefined;

  get size(): number {
    if (this.#members instanceof Set) return this.#members.size;
    return this.#members === undefined ? 0 : 1;
  }

  has(member: T): boolean {
    return this.#members instanceof Set ? this.#members.has(member) : this.#members === member;
  }

  add(member: T): this {
    if (this.#members instanceof Set) this.#members.add(member);
    else if (this.#members === undefined) this.#members = member;
    else if (this.#members !== member) this.#members = new Set([this.#members, member]);
    return this;
  }

  /** Returns whether it was a member. */
  delete(member: T): boolean {
    if (!this.has(member)) return false;
    if (this.#members instanceof Set) this.#members.delete(member);
    else this.#members = undefined;
    return true;
  }

  [Symbol.iterator](): Iterator<T> {
    if (this.#members instanceof Set) return this.#members.values();
    return (this.#members === undefined ? [] : [this.#members]).values();
  }
}
