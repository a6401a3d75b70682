// Verifies one access token the way a Node service does: jose with its default settings.
//
// Arguments: URL of the key set, issuer, audience, token. Prints the claims as JSON and ends with 0, or prints the code of the
// refusal and ends with 1. Ends with 2 where the package is missing.

let jose;
try {
  jose = await import("jose");
} catch (missing) {
  console.error(`${missing.message}; run "npm install" in tests/validators to install the package jose`);
  process.exit(2);
}

const [url, issuer, audience, token] = process.argv.slice(2);
try {
  const keySet = jose.createRemoteJWKSet(new URL(url));
  const { payload } = await jose.jwtVerify(token, keySet, { issuer, audience });
  console.log(JSON.stringify(payload));
} catch (refusal) {
  if (!(refusal instanceof jose.errors.JOSEError)) throw refusal;
  console.log(refusal.code);
  process.exitCode = 1;
}
