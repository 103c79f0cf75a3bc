interface Subscription {
  isWanted: boolean;
  isThere: boolean;
  isMoving: boolean;
  subscribe: () => Promise<unknown>;
  unsubscribe: () => Promise<unknown>;
}

const retryMs = 500;

/**
 * The channels that somebody wants to hear. What is asked of one channel is done one step after the other: asked at
 * once, a subscribe that meets an unsubscribe on its way leaves the client deaf. What fails is tried again.
 */
export class Subscriptions {
  readonly #channels = new Map<string, Subscription>();
  readonly #subscribed: (channel: string) => void;
  #connection = 0;
  #hasEnded = false;

  /** `subscribed` hears of every channel that is heard from now on. */
  constructor(subscribed: (channel: string) => void) {
    this.#subscribed = subscribed;
  }

  want(channel: string, { subscribe, unsubscribe }: Pick<Subscription, 'subscribe' | 'unsubscribe'>): void {
    const known = this.#channels.get(channel);
    if (known) Object.assign(known, { isWanted: true, subscribe, unsubscribe });
    else this.#channels.set(channel, { isWanted: true, isThere: false, isMoving: false, subscribe, unsubscribe });
    void this.#move(channel);
  }

  unwant(channel: string): void {
    const known = this.#channels.get(channel);
    if (!known) return;
    known.isWanted = false;
    void this.#move(channel);
  }

  /** The connection is another one, which hears nothing yet. */
  beginAnew(): void {
    this.#connection += 1;
    for (const [channel, subscription] of this.#channels) {
      subscription.isThere = false;
      void this.#move(channel);
    }
  }

  end(): void {
    this.#hasEnded = true;
    this.#channels.clear();
  }

  async #move(channel: string): Promise<void> {
    const subscription = this.#channels.get(channel);
    if (!subscription || subscription.isMoving) return;
    subscription.isMoving = true;
    while (subscription.isThere !== subscription.isWanted && !this.#hasEnded) {
      const { isWanted } = subscription;
      const connection = this.#connection;
      try {
        await (isWanted ? subscription.subscribe() : subscription.unsubscribe());
        if (connection !== this.#connection) continue;
        subscription.isThere = isWanted;
        if (isWanted) this.#subscribed(channel);
      } catch {
        await pause(retryMs);
      }
    }
    subscription.isMoving = false;
    if (!subscription.isWanted && this.#channels.get(channel) === subscription) this.#channels.delete(channel);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
