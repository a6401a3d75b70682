"""Verifies one access token the way a Python service does: PyJWT with its default settings.

Arguments: URL of the key set, issuer, audience, token. Prints the claims as JSON and ends with 0, or prints the name of the
refusal and ends with 1. Ends with 2 where a package is missing.
"""

import json
import sys

try:
    import cryptography  # PyJWT needs it for every algorithm with a public key.
    import jwt
except ImportError as missing:
    print(f"{missing}; install the packages python3-jwt and python3-cryptography", file=sys.stderr)
    sys.exit(2)

url, issuer, audience, token = sys.argv[1:]
try:
    key = jwt.PyJWKClient(url).get_signing_key_from_jwt(token).key
    claims = jwt.decode(token, key, algorithms=["ES256", "RS256"], issuer=issuer, audience=audience)
except jwt.PyJWTError as refusal:
    print(type(refusal).__name__)
    sys.exit(1)
print(json.dumps(claims))
