#!/bin/sh
# Runs the built hub in the foreground, for systemd and containers: no installing, no building (that is `npm start`).
# The hub takes the place of this script, so that it is the process that is watched and gets the signals.
#
#   serve.sh [settings...]   the flags of `ocelli serve`
#   serve.sh --is-ready      is the hub on this machine ready? exit code 0 or 1
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
main=$root/packages/server/dist/main.js
for node in "$root/bin/node" "$root/node_modules/.bin/node"; do
  [ -x "$node" ] && break
done
if [ ! -x "$node" ] || [ ! -f "$main" ]; then
  echo "There is no built hub in $root. In a checkout run: npm start" >&2
  exit 1
fi

if [ "${1:-}" = --is-ready ]; then
  first=${OCELLI_LISTEN:-127.0.0.1:8002}
  # shellcheck disable=SC2016 # the dollars are JavaScript's
  exec "$node" -e '
    const first = process.argv[1].split(",")[0].replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    const signal = AbortSignal.timeout(4000);
    const ready = ({ statusCode }) => process.exit(statusCode === 200 ? 0 : 1);
    // Nothing is sent that needs a verified peer, and this machine is not in the certificate.
    const options = { signal, rejectUnauthorized: false };
    const ask = (scheme, otherwise) => require(scheme).get(`${scheme}://${first}/health/ready`, options, ready).on("error", otherwise);
    ask("http", () => ask("https", () => process.exit(1)));' "$first"
fi
# As `hubNodeOptions` in prepare.mjs.
exec "$node" --max-semi-space-size=2 "$main" "$@"
