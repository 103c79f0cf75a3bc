import { ConfigError } from './config.ts';

interface SystemError extends Error {
  code?: string;
  syscall?: string;
  port?: number;
  address?: string;
  hostname?: string;
}

/** What a person at the terminal needs to know when it does not start: what is wrong, and what to do. */
export function explainStartFailure(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  return `nano-messaging could not start: ${adviceFor(error) ?? messageOf(error)}`;
}

function adviceFor(error: unknown): string | undefined {
  const { code, syscall, port, address, hostname } = error as SystemError;
  if (syscall === 'getaddrinfo' && hostname !== undefined && !(error as { cause?: unknown }).cause) {
    return `The name ${hostname} cannot be resolved (${code}). If it is HOST: set HOST to an address of this machine`;
  }
  if (syscall !== 'listen') return undefined;
  if (code === 'EADDRINUSE') {
    return `Port ${port} is in use on ${address} (EADDRINUSE). Stop the other server, or set PORT (METRICS_PORT for the metrics) to another port`;
  }
  if (code === 'EACCES') {
    return `This user may not listen on port ${port} (EACCES). Set PORT to 1024 or above, and let a balancer take port ${port}`;
  }
  if (code === 'EADDRNOTAVAIL') {
    return `The address ${address} is not one of this machine (EADDRNOTAVAIL). Set HOST to one that is, or to 0.0.0.0`;
  }
  return undefined;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${messageOf(cause)})` : error.message || error.name;
}
