// Makes a compact JWE with npm jose: {"payload": base64, "jwk"} on standard input, the JWE on standard output.
import { CompactEncrypt, importJWK } from 'jose';

let input = '';
for await (const chunk of process.stdin) input += chunk;
const { payload, jwk } = JSON.parse(input);
const header = { alg: jwk.alg, enc: 'A256GCM', kid: jwk.kid };
const jwe = await new CompactEncrypt(Buffer.from(payload, 'base64')).setProtectedHeader(header).encrypt(await importJWK(jwk, jwk.alg));
process.stdout.write(jwe);
