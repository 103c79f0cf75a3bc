// cspell:disable
import { expect } from 'chai';
import { readConfig } from '../../../src/config/config.ts';
import { fileSettings, settingNames } from '../../../src/config/environment.ts';
import { findMisspeltSettings, suggestSetting } from '../../../src/config/misspelt-settings.ts';

describe('The warning for a misspelt setting', () => {
  const misspelt: [variable: string, setting: string][] = [
    ['DATABSE_URL', 'DATABASE_URL'],
    ['DATABASE_URI', 'DATABASE_URL'],
    ['DATABASE_ULR', 'DATABASE_URL'],
    ['DATABASEURL', 'DATABASE_URL'],
    ['databaseUrl', 'DATABASE_URL'],
    ['DATABSE_URL_FILE', 'DATABASE_URL_FILE'],
    ['DATABSE_POOL_SIZE', 'DATABASE_POOL_SIZE'],
    ['JWT_SECERT', 'JWT_SECRET'],
    ['JWT_SECRETS', 'JWT_SECRET'],
    ['JWT_JWK_URL', 'JWT_JWKS_URL'],
    ['JWT_AUDIANCE', 'JWT_AUDIENCE'],
    ['REDIS_URI', 'REDIS_URL'],
    ['NODENAME', 'NODE_NAME'],
    ['MAX_CONNECTION_PER_USERS', 'MAX_CONNECTIONS_PER_USER'],
    ['MAX_UNAUTHENTICTED_CONECTIONS', 'MAX_UNAUTHENTICATED_CONNECTIONS'],
    ['SEND_BURTS', 'SEND_BURST'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    ['ALLOWED_ORIGIN', 'ALLOWED_ORIGINS'],
    // Former names, and what is nearly one.
    ['DATABASE_POOL', 'DATABASE_POOL_SIZE'],
    ['DATABSE_POOL', 'DATABASE_POOL_SIZE'],
    ['TOKEN_SECONDS', 'AUTH_TIMEOUT_SECONDS'],
    ['PING_SECONDS', 'PING_INTERVAL_SECONDS'],
    ['DRAIN_SECONDS', 'DRAIN_TIMEOUT_SECONDS'],
    ['MAX_UNSENT_BYTES', 'MAX_SEND_BUFFER_BYTES'],
    ['MAX_UNAUTHENTICATED', 'MAX_UNAUTHENTICATED_CONNECTIONS'],
  ];
  for (const [variable, setting] of misspelt) {
    it(`suggests ${setting} for ${variable}`, () => {
      expect(suggestSetting(variable)).to.equal(setting);
      expect(findMisspeltSettings({ [variable]: 'a value' })).to.deep.equal([
        `${variable} is not a setting; did you mean ${setting}?`,
      ]);
    });
  }

  it('does not warn of any existing setting', () => {
    const env = Object.fromEntries(settingNames.map((name) => [name, 'a value']));
    expect(findMisspeltSettings(env)).to.deep.equal([]);
    expect(Object.keys(env)).to.include.members(fileSettings);
  });

  it('does not warn of a variable without a value', () => {
    expect(findMisspeltSettings({ DATABSE_URL: '', JWT_SECERT: undefined })).to.deep.equal([]);
  });

  it('warns of a misspelt setting in the configuration without its value', () => {
    const { warnings } = readConfig({ JWT_SECERT: 'hush', PATH: '/bin' });
    expect(warnings).to.deep.equal(['JWT_SECERT is not a setting; did you mean JWT_SECRET?']);
  });

  const environments: Record<string, string[]> = {
    'a shell': `PATH HOME USER LOGNAME SHELL PWD OLDPWD SHLVL TERM COLORTERM LANG LC_ALL LC_CTYPE LANGUAGE EDITOR PAGER
      TMPDIR TEMP TMP TZ MAIL HOSTNAME HOSTTYPE MACHTYPE OSTYPE DISPLAY XAUTHORITY XDG_DATA_DIRS XDG_DATA_HOME
      XDG_RUNTIME_DIR XDG_CONFIG_DIRS XDG_SESSION_ID SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION SSH_TTY LS_COLORS LESSOPEN
      DBUS_SESSION_BUS_ADDRESS WINDOWID VTE_VERSION GPG_TTY _ NO_COLOR FORCE_COLOR CI DEBUG`.split(/\s+/),
    'npm and Node.js':
      `NODE NODE_ENV NODE_OPTIONS NODE_PATH NODE_VERSION NODE_EXTRA_CA_CERTS NODE_DEBUG NODE_PORT NODE_HOST
      NODE_NO_WARNINGS NODE_TLS_REJECT_UNAUTHORIZED NODE_CLUSTER_SCHED_POLICY UV_THREADPOOL_SIZE YARN_VERSION INIT_CWD
      npm_execpath npm_node_execpath npm_lifecycle_event npm_package_json npm_package_name npm_package_version npm_command
      npm_config_loglevel npm_config_log_level npm_config_user_agent npm_config_cache npm_config_prefix COLOR NVM_DIR`.split(
        /\s+/,
      ),
    'a container with Kubernetes links': `KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS
      KUBERNETES_PORT KUBERNETES_PORT_443_TCP KUBERNETES_PORT_443_TCP_PROTO KUBERNETES_PORT_443_TCP_PORT
      KUBERNETES_PORT_443_TCP_ADDR REDIS_SERVICE_HOST REDIS_SERVICE_PORT REDIS_PORT REDIS_PORT_6379_TCP
      REDIS_PORT_6379_TCP_ADDR METRICS_SERVICE_HOST METRICS_SERVICE_PORT METRICS_PORT_9090_TCP_PORT POD_NAME POD_IP
      POD_NAMESPACE NODE_IP NAMESPACE CONTAINER_NAME container`.split(/\s+/),
    'other programs of the same host':
      `DATABASE_HOST DATABASE_PORT DATABASE_NAME DATABASE_USER DATABASE_PASSWORD DATABASE
      DATABASE_SSL DATABASE_SCHEMA DB_URL DB_HOST DB_POOL PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGDATA PGSSLMODE
      POSTGRES_URL POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB REDIS_HOST REDIS_PASSWORD REDIS_USER REDIS_DB REDIS_TLS_URL
      MYSQL_URL JWT_KEY JWT_ALGORITHM JWT_PRIVATE_KEY JWT_EXPIRES_IN JWT_TTL SECRET SECRET_KEY API_TOKEN APP_TOKEN
      AUTH_TOKEN ACCESS_TOKEN LOG_FILE LOG_DIR LOG_PATH LOG_COLOR LOG_TARGET LOGGING HOSTS PORTS APP_PORT HTTP_PORT
      HTTPS_PORT HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy BASE_URL PUBLIC_URL DATA_PATH DATA DATA_HOME CACHE_DIR HOST_IP
      METRICS METRICS_HOST METRICS_PATH METRICS_URL ADMIN_USER ADMIN_PASSWORD ADMIN_EMAIL MAX_MEMORY REQUEST_TIMEOUT
      RATE_LIMIT SERVICE_NAME HOST_NAME WEB_CONCURRENCY DYNO SENTRY_DSN OTEL_SERVICE_NAME OTEL_EXPORTER_OTLP_ENDPOINT
      OTEL_METRICS_EXPORTER OTEL_LOG_LEVEL AWS_REGION AWS_SECRET_ACCESS_KEY GOOGLE_APPLICATION_CREDENTIALS`.split(
        /\s+/,
      ),
  };
  for (const [where, names] of Object.entries(environments)) {
    it(`does not warn of the variables of ${where}`, () => {
      expect(names).to.have.length.above(20);
      expect(findMisspeltSettings(Object.fromEntries(names.map((name) => [name, 'a value'])))).to.deep.equal([]);
    });
  }

  it('does not warn of the environment of this process', () => {
    const foreign = Object.entries(process.env).filter(([name]) => !settingNames.includes(name));
    expect(foreign).to.have.length.above(3);
    expect(findMisspeltSettings(Object.fromEntries(foreign))).to.deep.equal([]);
  });

  it('does not warn of the link of a Kubernetes service whose name resembles a setting', () => {
    expect(findMisspeltSettings({ METRIC_PORT: 'tcp://10.96.14.7:9090' })).to.deep.equal([]);
    expect(findMisspeltSettings({ METRIC_PORT: '9090' })).to.have.length(1);
  });
});
