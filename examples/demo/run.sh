#!/bin/sh
# Starts a gateway on 127.0.0.1:2222 with a demo tree and prints lines to paste. Ctrl-C ends it and takes everything back.
# The tree: this machine; as root also an account behind sudo, a real sshd on port 2223, and a container when an engine runs.
set -eu
cd "$(dirname "$0")/../.."
D=$(mktemp -d "${TMPDIR:-/tmp}/fakesshd-demo-XXXXXX"); chmod 755 "$D" # a checkout may be another user's, whose configuration is refused
PORT=${PORT:-2222}
SSHD_PORT=${SSHD_PORT:-2223}
ACCOUNT=fakessh-demo
ROOT=; [ "$(id -u)" = 0 ] && ROOT=1
SSHD= GW= MADE= CONTAINER=

cleanup() {
  trap '' INT TERM
  set +e
  [ -n "$GW" ] && kill "$GW" 2>/dev/null && wait "$GW" 2>/dev/null
  [ -n "$SSHD" ] && kill "$SSHD" 2>/dev/null
  [ -n "$CONTAINER" ] && docker rm -f "$CONTAINER" >/dev/null 2>&1
  if [ -n "$MADE" ]; then rm -f /etc/sudoers.d/$ACCOUNT; pkill -KILL -u $ACCOUNT || :; userdel -rf $ACCOUNT >/dev/null 2>&1 || :; fi
  rm -rf "$D"
}
trap cleanup EXIT
trap 'exit 0' INT TERM

need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 && return
  [ -n "$ROOT" ] || { echo "demo: $1 is missing; install the package $2" >&2; exit 1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 || {
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null; }
}
need ssh openssh-client; need rsync rsync
ssh-keygen -q -t ed25519 -N '' -C demo -f "$D/id"

cat >"$D/fakesshd.yaml" <<END
listen: ["127.0.0.1:$PORT"]
state_dir: $D/state
control_socket: $D/control.sock
policy: policy.cedar
users:
  demo: {keys: ["file:$D/id.pub"], unix: $(id -un)}
targets:
  local: {method: local}
END
echo 'permit (principal == User::"demo", action, resource);' >"$D/policy.cedar"

LINES="ssh -F $D/ssh_config local@gw uname -a
rsync -e 'ssh -F $D/ssh_config' -a docs/ local@gw:/tmp/fakesshd-demo-docs/
scp -F $D/ssh_config README.md local@gw:/tmp/
$PWD/bin/fakesshd run -c $D/fakesshd.yaml local -- rsync -a docs/ there:/tmp/fakesshd-demo-docs/"

if [ -n "$ROOT" ]; then
  need sudo sudo; [ -x /usr/sbin/sshd ] || need sshd openssh-server
  if getent passwd $ACCOUNT | grep -q ':fakesshd demo:'; then MADE=1; fi # of a demo that was killed
  if ! id $ACCOUNT >/dev/null 2>&1; then
    useradd -m -c 'fakesshd demo' -s /bin/bash $ACCOUNT; MADE=1
    echo "$ACCOUNT ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/$ACCOUNT; chmod 440 /etc/sudoers.d/$ACCOUNT
  fi
  ssh-keygen -q -t ed25519 -N '' -C demo -f "$D/host"; mkdir -p /run/sshd
  cat >"$D/sshd_config" <<END
Port $SSHD_PORT
ListenAddress 127.0.0.1
HostKey $D/host
PidFile none
AuthorizedKeysFile $D/id.pub
StrictModes no
PasswordAuthentication no
UsePAM yes
Subsystem sftp internal-sftp
END
  /usr/sbin/sshd -D -f "$D/sshd_config" -E "$D/sshd.log" & SSHD=$!
  mkdir -p "$D/state"; chmod 700 "$D/state"
  echo "[127.0.0.1]:$SSHD_PORT $(cut -d' ' -f1,2 "$D/host.pub")" >"$D/state/known_hosts"
  cat >>"$D/fakesshd.yaml" <<END
  web1: {method: ssh, hostname: 127.0.0.1, port: $SSHD_PORT, username: $ACCOUNT, identity_file: $D/id, ssh_config: none, become: sudo}
END
  LINES="$LINES
ssh -F $D/ssh_config local+sudo.$ACCOUNT@gw id
ssh -F $D/ssh_config web1@gw 'exit 7'; echo \$?
ssh -F $D/ssh_config -J gw root@web1 id
sftp -F $D/ssh_config web1@gw"
  if docker info >/dev/null 2>&1; then
    need busybox busybox-static
    mkdir -p "$D/tiny/bin" "$D/tiny/etc" "$D/tiny/root" "$D/tiny/tmp"; cp "$(command -v busybox)" "$D/tiny/bin/"
    for a in $(busybox --list); do [ $a = busybox ] || ln -sf busybox "$D/tiny/bin/$a"; done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$D/tiny/etc/passwd"
    tar -C "$D/tiny" -c . | docker import -c 'CMD ["/bin/sleep","2147483647"]' - fakesshd-demo >/dev/null
    docker rm -f fakesshd-demo >/dev/null 2>&1 || :
    docker run -d --init --name fakesshd-demo --network none fakesshd-demo >/dev/null; CONTAINER=fakesshd-demo
    echo "  app: {method: docker, container: fakesshd-demo}" >>"$D/fakesshd.yaml"
    LINES="$LINES
ssh -F $D/ssh_config app@gw hostname
scp -F $D/ssh_config README.md app@gw:/root/"
  fi
fi

bin/fakesshd known-hosts -c "$D/fakesshd.yaml" >"$D/known_hosts"
cat >"$D/ssh_config" <<END
Host *
  IdentityFile $D/id
  IdentitiesOnly yes
  UserKnownHostsFile $D/known_hosts
Host gw
  HostName 127.0.0.1
  Port $PORT
END
bin/fakesshd serve --log-level warn -c "$D/fakesshd.yaml" & GW=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -S "$D/control.sock" ] && break; sleep 0.2; done
printf '\nIn another terminal, in this directory:\n\n%s\n%s\n\nCtrl-C ends the demo.\n' "$LINES" "$PWD/bin/fakesshd tree -c $D/fakesshd.yaml"
wait "$GW"
