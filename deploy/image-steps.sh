#!/bin/sh
# The steps that make a Debian system run the hub, one word each. The Dockerfile and install.sh consist of them, and
# `npm run test:deploy` runs them in a fresh Debian. Run as root.
#
#   build-packages          what building needs: Node (20 or newer) and npm
#   build SOURCE TARGET     a checkout becomes the files that run, with a Node 24 of their own, in TARGET
#   runtime-packages        what running needs: ffmpeg, libsystemd
#   user [DATA]             the system user `ocelli`, in the group `video`, and its data folder (default /var/lib/ocelli)
#   command TARGET          puts `ocelli` into /usr/local/bin
set -eu

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends "$@" >/dev/null
  rm -rf /var/lib/apt/lists/*
}

build() {
  source=$(readlink -f "$1")
  target=$2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  # A copy, so that the checkout stays as it is and nothing that lies about in it gets in.
  tar -C "$source" -cf - --exclude=node_modules --exclude=dist --exclude=.git --exclude=.cache --exclude='*.tsbuildinfo' \
    package.json package-lock.json .npmrc tsconfig.base.json tsconfig.json packages scripts/serve.sh docs LICENSE |
    tar -C "$work" -xf -
  cd "$work"
  npm ci --loglevel=error
  PATH="$work/node_modules/.bin:$PATH" tsc -b

  mkdir -p "$target/bin" "$target/scripts"
  cp -L node_modules/node/bin/node "$target/bin/node"
  cp package.json package-lock.json .npmrc LICENSE "$target/"
  cp -R docs "$target/docs"
  install -m 0755 scripts/serve.sh "$target/scripts/"
  for package in packages/*; do
    mkdir -p "$target/$package"
    for part in package.json dist bin public; do
      if [ -e "$package/$part" ]; then cp -R "$package/$part" "$target/$package/"; fi
    done
  done
  find "$target/packages" -name '*.tsbuildinfo' -delete
  cd "$target"
  npm ci --omit=dev --prefer-offline --loglevel=error
  # npm leaves empty folders where packages for other machines would have been.
  find node_modules -type d -empty -delete
  chmod -R a+rX "$target"
}

user() {
  data=${1:-/var/lib/ocelli}
  getent group video >/dev/null || groupadd --system video
  if ! getent passwd ocelli >/dev/null; then
    useradd --system --user-group --home-dir "$data" --no-create-home --shell /usr/sbin/nologin ocelli
  fi
  usermod --append --groups video ocelli
  install -d -o ocelli -g ocelli -m 0700 "$data"
}

command_link() {
  cat >/usr/local/bin/ocelli <<EOF
#!/bin/sh
exec "$1/bin/node" "$1/packages/cli/bin/ocelli.js" "\$@"
EOF
  chmod 0755 /usr/local/bin/ocelli
}

step=${1:-}
[ $# -eq 0 ] || shift
case $step in
  build-packages) install_packages ca-certificates nodejs npm ;;
  build) build "$@" ;;
  runtime-packages) install_packages ca-certificates ffmpeg libsystemd0 ;;
  user) user "$@" ;;
  command) command_link "$@" ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
