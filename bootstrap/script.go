package bootstrap

import "strings"

// firstStage is the program that Argv sends: one line of POSIX sh, joined from the lines below. As it is
// carried in single quotes through login shells as different as fish and csh, it has no single quote, no
// exclamation mark, no backslash and no newline. Its arguments are
//
//	HOW  ID PARENTS FLAGS NAME (the agent's)  OS/ARCH:SHA256:GZIPPED:SIZE …
//
// where HOW has l for a local stream (no gzip), n for no cache, v to verify a cached image before use.
//
// A start with a cached image forks twice, for uname and ls. It enters a directory first and then looks
// whose it is, so that nobody can put another in its place in between.
var firstStage = strings.Join([]string{
	`how=$1 made= agent="agent $2 $3 $4 $5"; shift 5;`,

	// The marker is not spelt out: the far side may echo this text.
	`m=FAKE; say() { echo "${m}SSH1 $*"; }; fail() { say fail "$*"; exit 1; };`,

	// From a terminal the parent wants raw bytes, and it waits for the hello before it sends any.
	`if [ -t 0 ]; then stty raw -echo || fail stty does not work; fi;`,

	// What was printed before may lack its end of line.
	`echo;`,

	// The platform os/cpu and its entry in the table: digest, size gzipped, size.
	`un=$(uname -sm) || fail uname does not work; os=${un% *} cpu=${un##* };`,
	`case $os in Linux) os=linux;; FreeBSD) os=freebsd;; Darwin) os=darwin;; esac;`,
	`case $cpu in x86_64) cpu=amd64;; aarch64) cpu=arm64;; i[3-6]86) cpu=386;; armv[678]*) cpu=arm;; esac;`,
	`digest=; for e; do case $e in $os/$cpu:*) size=${e##*:} e=${e%:*}; zip=${e##*:} e=${e%:*}; digest=${e##*:};; esac; done;`,
	`[ "$digest" ] || { say hello $un none; exit 1; };`,
	`file=fakessh-$os-$cpu-$digest;`,

	// ours FILE: does the effective user own it? Where test has no -O, ls and id tell.
	`ours() { [ -O "$1" ] 2>/dev/null || { set -- $(ls -ldn "$1" 2>/dev/null); [ "${3-x}" = "$(id -u)" ]; }; };`,

	// whole FILE: has it the wanted digest? The first of the programs that is there computes it.
	`for sum in sha256sum "shasum -a 256" "sha256 -q" "openssl dgst -sha256 -r" false; do command -v ${sum%% *} >/dev/null 2>&1 && break; done;`,
	`whole() { e=$($sum <./$1 2>&1); [ "${e%% *}" = $digest ] || { e="damaged: $e"; return 1; }; };`,

	// run FILE: become the agent. On a terminal its standard error would fall among the frames.
	`run() { [ -t 0 ] && exec 2>/dev/null; exec ./$1 $agent; };`,

	// cached DIR: enter it, if it has the image and is to be trusted.
	`cached() { [ -x "$1/$file" ] || return 1; [ -L "$1" ] && return 1; [ -L "${1%/*}" ] && return 1; cd "$1" || return 1;`,
	`case $(ls -ldn . $file) in drwx--[-S]--[-T]*" $size "*) ours . || return 1;; *) return 1;; esac;`,
	`case $how in *v*) whole $file && ./$file agent probe </dev/null || { rm -f $file; return 1; };; esac; };`,

	// start DIR…: become the agent that the first of them has.
	`start() { case $how in *n*) return;; esac; for e; do cached "$e" && { say hello $un cached; run $file; }; done; };`,

	// The directories in their order. Names in shared places need the uid, which takes a fork.
	`set --; for e in "${XDG_CACHE_HOME-}" "${HOME:+$HOME/.cache}"; do case $e in /*) set -- "$@" "$e/fakessh";; esac; done;`,
	`start "$@";`,
	`uid=$(id -u) && for e in /var/tmp /dev/shm /tmp; do set -- "$@" $e/.fakessh-$uid; done;`,
	`start "$@";`,

	// Not there. What to ask for: n bytes of that form, taken from the stream by take, unpacked by unpack.
	`case $how in *l*) zip=0;; esac; command -v gzip >/dev/null 2>&1 || zip=0;`,
	`form=gzip n=$zip unpack="gzip -dc"; [ $zip = 0 ] && form=raw n=$size unpack=cat;`,
	`for take in "head -c $n" "dd bs=$n count=1 iflag=fullblock" "dd bs=1 count=$n"; do $take </dev/null >/dev/null 2>&1 && break; done;`,

	// open DIR: make it, enter it, see that it is to be trusted, make the file new there; if not, e says why.
	`open() { up=${1%/*} e="symbolic link"; [ -L "$up" ] && return 1; [ -L "$1" ] && return 1;`,
	`case $1 in */fakessh) e="$up is not ours";`,
	`[ -d "$up" ] || case $how in *n*) ;; *) ours "${up%/*}/" && e=$(mkdir -m 700 "$up" 2>&1) && made=$up;; esac; ours "$up" || return 1;; esac;`,
	`[ -d "$1" ] || e=$(mkdir -m 700 "$1" 2>&1) || [ -d "$1" ] || return 1;`,
	`e="not ours alone"; cd "$1" 2>/dev/null || return 1;`,
	`case $(ls -ldn .) in drwx--[-S]--[-T]*) ours . || return 1;; *) return 1;; esac;`,
	`for new in .new-$$ .new-$$a .new-$$b; do e=$( (umask 22; set -C; : >./$new) 2>&1) && break; done || return 1;`,
	`e="mounted noexec"; chmod 755 $new; [ -x $new ]; };`,

	// fill: all n bytes are taken from the stream, whatever becomes of them.
	`fill() { e=$($take | ( $unpack 2>&1 >./$new; e=$?; cat >/dev/null; exit $e )) && whole $new && e=$(./$new agent probe 2>&1 </dev/null); };`,

	// prune: keep the newest but this, and nothing half done that is older than a day.
	`prune() { n=; for e in $(ls -t fakessh-$os-$cpu-*); do case $e in $file) ;; *) [ "$n" ] && rm -f $e; n=1;; esac; done;`,
	`find . -name ".new-*" -mtime +0 -exec rm -f {} ";"; };`,

	// clean: leave nothing in a directory that did not do, nor the directory and what was made above it if they are empty.
	`clean() { rm -f ./.new-$$ ./.new-$$a ./.new-$$b; case $PWD in */fakessh|*/.fakessh-*) rmdir "$PWD" 2>/dev/null;; esac; [ "$made" ] && rmdir "$made" 2>/dev/null; made=; };`,
	`cd /; trap clean 0; trap "exit 1" 1 2 13 15;`,

	// Ask, fill, execute; where that fails, in the next directory.
	`tried= ask="hello $un need"; [ "$sum" = false ] && set -- && tried="; no sha256sum, shasum, sha256 or openssl";`,
	`for dir; do if open "$dir"; then say $ask $n $form; ask=again;`,
	`if fill; then case $how in *n*) run $new;; esac; mv -f $new $file && { prune; run $file; }; fi; fi;`,
	`tried="$tried; $dir: $e"; clean; cd /; done;`,

	// No directory would do: a file in memory, if there is a Python that can make one. 16 is MFD_EXEC.
	`python3 -SEc "import os,zlib,hashlib;os.close(os.memfd_create(str(),1))" 2>/dev/null || fail "no place for the program$tried; no memory file by python3";`,
	`say $ask $n $form; [ -t 0 ] && exec 2>/dev/null; exec python3 -SEc "import hashlib,os,sys,zlib;a=sys.argv;b=sys.stdin.buffer.read(int(a[1]));`,
	`b=zlib.decompress(b,47) if a[2]==a[3] else b;hashlib.sha256(b).hexdigest()==a[4] or sys.exit(a[5]);`,
	`f=os.memfd_create(a[6],17 if os.path.exists(a[7]) else 1);os.write(f,b)==len(b) or sys.exit(a[5]);os.execve(f,a[6:7]+a[8:],os.environ)"`,
	`$n $form gzip $digest damaged fakessh /proc/sys/vm/memfd_noexec $agent`,
}, " ")
