import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openPostgres } from '../../src/database/open-store.ts';
import { closeAfterRun } from '../helpers/cleanup.ts';
import { startPostgres } from '../helpers/postgres.ts';
import { serverAccount } from '../helpers/postgres-binaries.ts';
import { selfSigned } from '../helpers/self-signed.ts';

describe('A PostgreSQL with TLS', () => {
  let url: URL;
  let certificate: string;

  before(async () => {
    const home = mkdtempSync(join(tmpdir(), 'nano-tls-'));
    closeAfterRun(() => rmSync(home, { recursive: true, force: true }));
    const { key, cert } = selfSigned();
    certificate = join(home, 'cert.pem');
    const keyFile = join(home, 'key.pem');
    writeFileSync(certificate, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    const account = serverAccount();
    if (account) for (const path of [home, certificate, keyFile]) chownSync(path, account.uid, account.gid);
    url = new URL((await startPostgres({ ssl: 'on', ssl_cert_file: certificate, ssl_key_file: keyFile })).url);
    url.hostname = 'localhost'; // as the certificate says
  });

  const encrypted = { name: 'encrypted', text: 'select ssl from pg_stat_ssl where pid = pg_backend_pid()' };

  async function isEncrypted(query: string): Promise<boolean> {
    const store = await openPostgres({ databaseUrl: url.href + query, poolSize: 2, statementTimeoutMs: 5_000 });
    try {
      const [row] = await store.query<{ ssl: boolean }>(encrypted, []);
      return row!.ssl;
    } finally {
      await store.close();
    }
  }

  it('connects to PostgreSQL according to `sslmode`, and without it in plain text', async () => {
    expect(await isEncrypted(`?sslmode=verify-full&sslrootcert=${encodeURIComponent(certificate)}`)).to.equal(true);
    expect(await isEncrypted('?sslmode=no-verify')).to.equal(true);
    expect(await isEncrypted('')).to.equal(false);
  });

  it('refuses a PostgreSQL without a trusted certificate', async () => {
    const refused = await isEncrypted('?sslmode=verify-full').catch((error: Error) => error.message);
    expect(refused).to.match(/self-signed certificate/);
  });
});
