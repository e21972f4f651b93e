#!/bin/sh
# Installs or upgrades the hub as a systemd service on Debian or Ubuntu. Run as root from a checkout:
#
#   sudo deploy/install.sh            builds into /opt/ocelli, keeps the previous one as /opt/ocelli.previous
#   sudo deploy/install.sh --remove   takes the service away; recordings, keys and settings stay
#
# Needs Node 20 or newer with npm for the build; the service then runs on a Node 24 of its own.
set -eu
here=$(dirname "$(readlink -f "$0")")
steps=$here/image-steps.sh
target=/opt/ocelli
unit=/etc/systemd/system/ocelli.service
rules=/etc/udev/rules.d/70-ocelli.rules

[ "$(id -u)" -eq 0 ] || { echo "Run this as root: sudo $0 $*" >&2; exit 1; }

# Without a running systemd (a chroot, an image in the making) it can only be told what to start at the next boot.
systemd() { if [ -d /run/systemd/system ]; then systemctl "$@"; fi; }

case ${1:-} in
  --remove)
    systemd disable --now ocelli.service
    rm -rf "$unit" "$rules" /usr/local/bin/ocelli "$target" "$target.previous"
    systemd daemon-reload
    echo "Removed. Recordings and keys are still in /var/lib/ocelli, settings in /etc/ocelli."
    exit 0
    ;;
  "") ;;
  *)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
if [ "$major" -lt 20 ] || ! npm --version >/dev/null 2>&1; then
  echo "Building needs Node 20 or newer and npm; this machine has Node ${major}. Debian 13 has them: apt-get install nodejs npm" >&2
  exit 1
fi

"$steps" runtime-packages
"$steps" user /var/lib/ocelli
rm -rf "$target.new"
"$steps" build "$here/.." "$target.new"

install -d -m 0755 /etc/ocelli
[ -e /etc/ocelli/ocelli.yaml ] || install -g ocelli -m 0640 "$here/ocelli.yaml" /etc/ocelli/ocelli.yaml
[ -e /etc/ocelli/ocelli.env ] || install -m 0600 /dev/null /etc/ocelli/ocelli.env
install -D -m 0644 "$here/ocelli.service" "$unit"
install -D -m 0644 "$here/70-ocelli.rules" "$rules"
systemd daemon-reload

# As short as possible without a hub: everything slow is done.
rm -rf "$target.previous"
[ ! -e "$target" ] || mv "$target" "$target.previous"
mv "$target.new" "$target"
"$steps" command "$target"
if command -v systemctl >/dev/null; then systemctl enable --quiet ocelli.service; fi
systemd restart ocelli.service
if [ -d /run/udev ]; then udevadm control --reload; fi

cat <<EOF
Installed. The page: http://$(hostname):8002/
Admin key of the first start: /var/lib/ocelli/admin-key
Is everything right?          sudo -u ocelli ocelli --data-dir /var/lib/ocelli doctor
What it says:                 journalctl -u ocelli -f
EOF
