const minVersion = [22, 18] as const;

/** Returns an error message if this Node.js is too old. Returns undefined if it is new enough. */
export function describeOldNode(version = process.versions.node): string | undefined {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isTooOld = major < minVersion[0] || (major === minVersion[0] && minor < minVersion[1]);
  return isTooOld ? `nano-messaging needs Node.js ${minVersion.join('.')} or later; this is ${version}` : undefined;
}

export function assertNodeVersion(): void {
  const problem = describeOldNode();
  if (problem) throw new Error(problem);
}
