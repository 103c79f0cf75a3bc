/** How channels are subscribed. Many channels share one of these objects, because a node may have thousands of channels. */
export interface Subscriber {
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
}

interface Subscription {
  isWanted: boolean;
  isSubscribed: boolean;
  isReconciling: boolean;
  subscriber: Subscriber;
}

export interface SubscriptionEvents {
  /** Called when the subscription to the channel has started. */
  onSubscribed(channel: string): void;
  /** Called after every failed attempt. The attempt is repeated automatically. */
  onFailed(error: unknown, channel: string): void;
  /** Called when no subscription is failing any more. */
  onRecovered(): void;
}

const retryDelayMs = 500;

/**
 * Keeps the wanted channels subscribed, and retries failed commands. Commands for the same channel never overlap. If a
 * subscribe and an unsubscribe overlapped, the channel could end up in the wrong state.
 */
export class Subscriptions {
  readonly #channels = new Map<string, Subscription>();
  readonly #events: SubscriptionEvents;
  /** The wanted subscriptions whose last attempt failed. */
  readonly #failing = new Set<Subscription>();
  #connection = 0;
  #hasEnded = false;

  constructor(events: SubscriptionEvents) {
    this.#events = events;
  }

  /** Whether the subscription to a wanted channel has failed and is being retried. */
  get isFailing(): boolean {
    return this.#failing.size > 0;
  }

  add(channel: string, subscriber: Subscriber): void {
    const existing = this.#channels.get(channel);
    if (existing) Object.assign(existing, { isWanted: true, subscriber });
    else this.#channels.set(channel, { isWanted: true, isSubscribed: false, isReconciling: false, subscriber });
    void this.#reconcile(channel);
  }

  remove(channel: string): void {
    const existing = this.#channels.get(channel);
    if (!existing) return;
    existing.isWanted = false;
    void this.#reconcile(channel);
  }

  /** Call this after a reconnect: a new connection has no subscriptions yet. */
  resubscribeAll(): void {
    this.#connection += 1;
    for (const [channel, subscription] of this.#channels) {
      subscription.isSubscribed = false;
      void this.#reconcile(channel);
    }
  }

  end(): void {
    this.#hasEnded = true;
    this.#channels.clear();
    this.#failing.clear();
  }

  #clearFailure(subscription: Subscription): void {
    if (this.#failing.delete(subscription) && this.#failing.size === 0) this.#events.onRecovered();
  }

  async #reconcile(channel: string): Promise<void> {
    const subscription = this.#channels.get(channel);
    if (!subscription || subscription.isReconciling) return;
    subscription.isReconciling = true;
    while (subscription.isSubscribed !== subscription.isWanted && !this.#hasEnded) {
      const { isWanted, subscriber } = subscription;
      const connection = this.#connection;
      try {
        await (isWanted ? subscriber.subscribe(channel) : subscriber.unsubscribe(channel));
        if (connection !== this.#connection) continue;
        subscription.isSubscribed = isWanted;
        this.#clearFailure(subscription);
        if (isWanted) this.#events.onSubscribed(channel);
      } catch (error) {
        if (this.#hasEnded) break;
        // A failed unsubscribe is harmless, so it does not count as a failure of the link.
        if (isWanted) this.#failing.add(subscription);
        this.#events.onFailed(error, channel);
        await sleep(retryDelayMs);
      }
    }
    this.#clearFailure(subscription);
    subscription.isReconciling = false;
    if (!subscription.isWanted && this.#channels.get(channel) === subscription) this.#channels.delete(channel);
  }
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());
