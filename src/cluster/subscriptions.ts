interface Subscription {
  isWanted: boolean;
  isThere: boolean;
  isMoving: boolean;
  subscribe: () => Promise<unknown>;
  unsubscribe: () => Promise<unknown>;
}

export interface SubscriptionEvents {
  /** This channel is heard from now on. */
  subscribed(channel: string): void;
  /** Called at every failed attempt; the next one follows by itself. */
  failed(error: unknown, channel: string): void;
  /** None is failing any more. */
  recovered(): void;
}

const retryMs = 500;

/**
 * The channels that somebody wants to hear. What is asked of one channel is done one step after the other: asked at
 * once, a subscribe that meets an unsubscribe on its way leaves the client deaf. What fails is tried again.
 */
export class Subscriptions {
  readonly #channels = new Map<string, Subscription>();
  readonly #events: SubscriptionEvents;
  /** Those whose last attempt failed. */
  readonly #failing = new Set<Subscription>();
  #connection = 0;
  #hasEnded = false;

  constructor(events: SubscriptionEvents) {
    this.#events = events;
  }

  /** Whether a channel was asked for, was refused, and is tried again. */
  get isFailing(): boolean {
    return this.#failing.size > 0;
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
    this.#failing.clear();
  }

  #succeeded(subscription: Subscription): void {
    if (this.#failing.delete(subscription) && this.#failing.size === 0) this.#events.recovered();
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
        this.#succeeded(subscription);
        if (isWanted) this.#events.subscribed(channel);
      } catch (error) {
        if (this.#hasEnded) break;
        // What nobody wants to hear any more keeps nobody from hearing.
        if (isWanted) this.#failing.add(subscription);
        this.#events.failed(error, channel);
        await pause(retryMs);
      }
    }
    this.#succeeded(subscription);
    subscription.isMoving = false;
    if (!subscription.isWanted && this.#channels.get(channel) === subscription) this.#channels.delete(channel);
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
