// An identity provider that people know: the one of the package `oidc-provider`, with pages for whoever develops.
//
// It has the TLS key and certificates that two files name, says on standard output where it is, and begins once it was told
// on standard input where its client is. An account is whatever name somebody signs in with; one that begins with `new-`
// has an address that nobody verified.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';

import Provider from 'oidc-provider';

const [key, cert] = process.argv.slice(2).map((file) => readFileSync(file));
const server = createServer({ key, cert });
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `https://localhost:${server.address().port}`;
console.log(issuer);

const [redirect] = await new Promise((told) => createInterface({ input: process.stdin }).once('line', (line) => told([line])));
const client = {
  redirect_uris: [redirect],
  response_types: ['code'],
  grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
};
const provider = new Provider(issuer, {
  clients: [
    { ...client, client_id: 'cove', client_secret: 'a secret: with + and %' },
    { ...client, client_id: 'cove-public', token_endpoint_auth_method: 'none' },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  cookies: { keys: ['only for tests'] },
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  pkce: { required: () => true },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: id, email: `${id}@example.com`, email_verified: !id.startsWith('new-') }),
  }),
});
server.on('request', provider.callback());
console.log('ready');
