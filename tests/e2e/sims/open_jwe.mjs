// Opens a flattened JWE with npm jose: {"jwe", "jwk"} on standard input, the plaintext as base64 on standard output.
import { flattenedDecrypt, importJWK } from 'jose';

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { jwe, jwk } = JSON.parse(input);
const { plaintext } = await flattenedDecrypt(jwe, await importJWK(jwk, jwe.header.alg));
process.stdout.write(Buffer.from(plaintext).toString('base64'));
