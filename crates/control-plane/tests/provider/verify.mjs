// Verifies a workload token as whoever takes one does: `verify.mjs ISSUER AUDIENCE < TOKEN`. Says what it claims.

import { readFileSync } from 'node:fs';

import { createRemoteJWKSet, jwtVerify } from 'jose';

const [issuer, audience] = process.argv.slice(2);
const found = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
const keys = createRemoteJWKSet(new URL(found.jwks_uri));
const options = { issuer: found.issuer, audience, algorithms: found.id_token_signing_alg_values_supported };
const { payload, protectedHeader } = await jwtVerify(readFileSync(0, 'utf8').trim(), keys, options);
console.log(JSON.stringify({ ...payload, kid: protectedHeader.kid }));
