import type { WebSocket } from 'ws';
import { congestedBytes } from '../../core/ephemeral.ts';
import { type CloseReason, closeCodes } from '../../core/errors.ts';
import { limitMessages } from '../../patches/ws-bounded-server.ts';
import { encodeFrame, writeFrames } from '../broadcast-batcher.ts';

/** What a session needs from its WebSocket. */
export interface ChatLink {
  /** Sends one text, or encoded WebSocket frames. Returns false if the send buffer is full. */
  send(frames: string | readonly Buffer[]): boolean;
  close(reason: CloseReason): void;
  /** Stops or resumes reading, so that a client cannot send faster than its commands are handled. */
  setReading(isReading: boolean): void;
  /**
   * Limits the size of messages from now on; 0 removes the limit. Returns false if the message that is being received
   * already exceeds it.
   */
  limitMessages(bytes: number): boolean;
  readonly isSendBufferFull: boolean;
  /** Whether so many bytes are unsent that ephemeral events are dropped. */
  readonly isCongested: boolean;
}

export class WebSocketLink implements ChatLink {
  readonly #webSocket: WebSocket;
  readonly #maxSendBufferBytes: number;

  constructor(webSocket: WebSocket, maxSendBufferBytes: number) {
    this.#webSocket = webSocket;
    this.#maxSendBufferBytes = maxSendBufferBytes;
  }

  close(reason: CloseReason): void {
    const { code, reason: text } = closeCodes[reason];
    this.#webSocket.close(code, text);
  }

  send(frames: string | readonly Buffer[]): boolean {
    const webSocket = this.#webSocket;
    if (webSocket.readyState === webSocket.OPEN) {
      writeFrames(webSocket, typeof frames === 'string' ? [encodeFrame(frames)] : frames);
    }
    return !this.isSendBufferFull;
  }

  get isSendBufferFull(): boolean {
    return this.#maxSendBufferBytes > 0 && this.#webSocket.bufferedAmount > this.#maxSendBufferBytes;
  }

  get isCongested(): boolean {
    return this.#webSocket.bufferedAmount > congestedBytes;
  }

  limitMessages(bytes: number): boolean {
    return limitMessages(this.#webSocket, bytes);
  }

  setReading(isReading: boolean): void {
    if (isReading) this.#webSocket.resume();
    else this.#webSocket.pause();
  }
}
