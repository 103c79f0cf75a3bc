/** The texts of the frames that a server writes to a WebSocket, in order. */
export function textsIn(frames: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < frames.length; ) {
    if (frames[at] !== finalText)
      throw new Error(`Expected a whole text frame at byte ${at}: ${frames.toString('hex')}`);
    const { length, begin } = readExtent(frames, at + 1);
    texts.push(frames.toString('utf8', begin, begin + length));
    at = begin + length;
  }
  return texts;
}

/** RFC 6455, 5.2: the last frame of a text. */
const finalText = 0x81;

function readExtent(frames: Buffer, at: number): { length: number; begin: number } {
  const short = frames[at]!;
  if (short < 126) return { length: short, begin: at + 1 };
  if (short === 126) return { length: frames.readUInt16BE(at + 1), begin: at + 3 };
  return { length: Number(frames.readBigUInt64BE(at + 1)), begin: at + 9 };
}
