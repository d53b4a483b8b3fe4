#!/bin/sh
# Installs from Debian what the tests drive: real servers, clients, shells and engines.
# As another user than root it only says what is missing.
set -u
packages='gcc libc6-dev openssh-server openssh-client rsync git sudo opendoas docker.io busybox-static fish tcsh bash dash
 acl attr expect socat tmux vim-tiny iproute2 procps file python3 python3-paramiko putty-tools dropbear-bin
 qemu-user-static xz-utils curl openssh-tests python3-asyncssh python3-mitogen libssh2-1 sshfs lftp rclone ansible-core'
missing=
for p in $packages; do
  dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "setup: missing packages, tests that need them will say so:$missing" >&2
  exit 0
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
