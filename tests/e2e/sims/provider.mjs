// A SIM-S for end-to-end tests: a real OpenID provider (npm oidc-provider) on loopback, TLS only. VAL servers by
// client_credentials, a UE's app by authorization code with PKCE and a password. Test identities and keys only.
//
//   node provider.mjs SETTINGS.json     prints {"issuer": …} once it listens; ends with its standard input
//
// SETTINGS: {"certificate", "key", "audience", "servers": {id: {"secret", "claims", "scope"}},
//            "users": {id: {"password", "claims"}}, "app": {"id", "redirect"}}
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { audience, servers, users, app } = settings;
const UE_SCOPE = 'skm';
const SCOPES = ['openid', UE_SCOPE, 'ss-kir', 'ss-kpp'];

async function signingKey(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${alg.toLowerCase()}-${randomBytes(4).toString('hex')}` };
}

const clients = Object.entries(servers).map(([id, server]) => ({
  client_id: id,
  client_secret: server.secret,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  scope: server.scope,
}));
clients.push({
  client_id: app.id,
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  redirect_uris: [app.redirect],
  grant_types: ['authorization_code'],
  response_types: ['code'],
  scope: `openid ${UE_SCOPE}`,
});

const listener = createServer({ cert: readFileSync(settings.certificate), key: readFileSync(settings.key) });
await new Promise((ready) => listener.listen(0, '127.0.0.1', ready));
const issuer = `https://127.0.0.1:${listener.address().port}`;

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [await signingKey('ES256'), await signingKey('RS256')] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  scopes: SCOPES,
  pkce: { required: () => true, methods: ['S256'] },
  findAccount: (_context, id) => (Object.hasOwn(users, id) ? { accountId: id, claims: () => ({ sub: id }) } : undefined),
  interactions: { url: (_context, interaction) => `/login/${interaction.uid}` },
  extraTokenClaims: (_context, token) =>
    token.kind === 'ClientCredentials' ? servers[token.clientId].claims : users[token.accountId].claims,
  // A first party's app: nobody is asked to consent.
  loadExistingGrant: async (context) => {
    const grant = new context.oidc.provider.Grant({ clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId });
    grant.addOIDCScope(SCOPES.join(' '));
    grant.addResourceScope(audience, UE_SCOPE);
    await grant.save();
    return grant;
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        audience,
        scope: SCOPES.slice(1).join(' '),
        accessTokenFormat: 'jwt',
        accessTokenTTL: 300,
        jwt: { sign: { alg: settings.alg ?? 'ES256' } },
      }),
    },
  },
});

provider.use(async (context, next) => {
  if (!context.path.startsWith('/login/')) return next();
  const { prompt } = await provider.interactionDetails(context.req, context.res);
  const finish = async (result) => {
    context.redirect(await provider.interactionResult(context.req, context.res, result, { mergeWithLastSubmission: true }));
    context.status = 303;
  };
  if (prompt.name === 'consent') return finish({ consent: {} });
  const parameters = context.method === 'POST' ? new URLSearchParams(await text(context.req)) : new URLSearchParams();
  const id = parameters.get('login') ?? '';
  if (!Object.hasOwn(users, id) || users[id].password !== parameters.get('password')) {
    context.status = 401;
    return undefined;
  }
  return finish({ login: { accountId: id } });
});

async function text(request) {
  let all = '';
  for await (const chunk of request) all += chunk;
  return all;
}

listener.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer }));
