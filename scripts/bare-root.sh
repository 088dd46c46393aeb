#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs the README's commands where nothing but Debian, git, make and a Go
# toolchain is, and the command line where there is not even that.
#
#   bare-root.sh [OPTION]... demo|test          the README's command, in a bare Debian
#   bare-root.sh [OPTION]... chroot-stationctl PATH
#                                               a demo by this stationctl, beside nothing
#                                               but the libraries it is linked with
#   bare-root.sh [OPTION]... make               only makes the bare Debian; give --root too
#
#   --suite NAME    bookworm (default), trixie, or another release debootstrap knows
#   --mirror URL    default: the machine's own Debian mirror (its apt configuration)
#   --keyring FILE  default: the keyring that mirror is signed by
#   --root DIR      keep the bare Debian in DIR and use it again; else a new one is
#                   made in TMPDIR (default /tmp) and deleted at the end
#   --caches WHICH  the host's Go module and build caches: bind (default; the host's
#                   own, written to), copy (of the module cache), or none (all is
#                   downloaded and compiled anew)
#
# Needs root and debootstrap. It works in its own mount and process namespaces:
# whatever it mounts or starts is gone when it ends, however it ends.
set -euo pipefail

die() { echo "bare-root: $*" >&2; exit 2; }
say() { echo "bare-root: $*" >&2; }

top=$(cd "$(dirname "$0")/.." && pwd)
suite=bookworm mirror='' keyring='' root='' caches=bind

arguments=("$@")
while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=${2:?} && shift 2 ;;
    --mirror) mirror=${2:?} && shift 2 ;;
    --keyring) keyring=${2:?} && shift 2 ;;
    --root) root=${2:?} && shift 2 ;;
    --caches) caches=${2:?} && shift 2 ;;
    -h | --help) sed -n '3,/^$/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) die "unknown option $1; see --help" ;;
    *) break ;;
  esac
done
goal=${1:?bare-root: demo, test, make or chroot-stationctl PATH? see --help}
program=${2:-}
case $goal in
  demo | test) ;;
  make) [ -n "$root" ] || die "make wants --root DIR: without it the root would be deleted at once" ;;
  chroot-stationctl) [ -x "$program" ] || die "chroot-stationctl wants the path of a built stationctl" ;;
  *) die "unknown goal $goal; see --help" ;;
esac
case $caches in bind | copy | none) ;; *) die "--caches is bind, copy or none" ;; esac
[ "$(id -u)" = 0 ] || die "only root can make a root; use sudo"

# Outside: make the folder, work in namespaces of our own, delete the folder.
# Bind mounts exist only inside, so deleting can never reach what was bound.
outside() {
  local child status=0
  if [ -z "$root" ]; then
    work=$(mktemp -d "${TMPDIR:-/tmp}/bare-root.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
  else
    mkdir -p "$root"
    work=$(cd "$root" && pwd)
  fi
  chmod 755 "$work"
  BARE_ROOT_INSIDE=$work unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
    bash "$0" "${arguments[@]}" <&0 &
  child=$!
  # unshare itself blocks the gentle signals; its death takes everything along.
  trap 'kill -KILL "$child" 2>/dev/null || true' INT TERM HUP
  wait "$child" || status=$?
  # The trap interrupts the first wait; this one is over when the child is.
  wait "$child" 2>/dev/null || true
  return "$status"
}

# The first plain Debian release in apt's own view of its configuration.
host_mirror() {
  { apt-get indextargets --format '$(CODENAME) $(SITE)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null || true; } |
    awk '$1 !~ /-/ { print $2; exit }'
}

# The keyring that the apt configuration names for a mirror.
host_keyring() {
  local files=()
  for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [ -r "$f" ]; then files+=("$f"); fi
  done
  [ ${#files[@]} -gt 0 ] || return 0
  awk -v RS= -v mirror="$1" 'index($0, mirror) && match($0, /[Ss]igned-[Bb]y[:=][ \t]*\/[^] \t\n]+/) {
    s = substr($0, RSTART, RLENGTH); sub(/^[^\/]*/, "", s); print s; exit }' "${files[@]}"
}

make_root() {
  if [ -e "$root/etc/debian_version" ]; then
    say "using the Debian $(cat "$root/etc/debian_version") in $root again"
    return
  fi
  command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
  mirror=${mirror:-$(host_mirror)}
  [ -n "$mirror" ] || die "the apt configuration here names no Debian mirror; give one with --mirror"
  keyring=${keyring:-$(host_keyring "$mirror")}
  keyring=${keyring:-/usr/share/keyrings/debian-archive-keyring.gpg}
  say "debootstrap $suite from $mirror"
  local begun=$SECONDS
  debootstrap --variant=minbase --keyring="$keyring" --include=git,make,ca-certificates \
    "$suite" "$root" "$mirror" >"$root/bare-root.log" 2>&1 || { tail -n 20 "$root/bare-root.log" >&2; die "debootstrap failed"; }
  rm -f "$root/bare-root.log"
  say "bare Debian $(cat "$root/etc/debian_version") in $((SECONDS - begun)) s, $(du -sh "$root" | cut -f1)"
}

# What a machine in this network has besides its packages: name servers,
# proxies, and the certificates of an inspecting gateway.
join_network() {
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  apt-config dump | grep -iE '^Acquire::[^ ]*proxy' >"$root/etc/apt/apt.conf.d/90host-proxy" || true
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
  fi
}

# The root must be a mount point for enter_root, before anything is mounted in it.
mount_kernel() {
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  ln -sf pts/ptmx "$root/dev/ptmx"
  mount -t tmpfs tmpfs "$root/dev/shm"
}

# bind DIR OPTIONS puts a folder of the host at the same place in the root, so
# that cached builds, which remember paths, are found.
bind() {
  mkdir -p "$root$1"
  mount --bind "$1" "$root$1"
  mount -o "remount,bind,$2" "$root$1"
}

go_toolchain() {
  local goroot modules
  goroot=$(go env GOROOT) modules=$(go env GOMODCACHE)
  bind "$goroot" ro
  environment+=("PATH=$goroot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
  case $caches in
    bind)
      mkdir -p "$modules" "$(go env GOCACHE)"
      bind "$modules" rw
      bind "$(go env GOCACHE)" rw
      environment+=("GOMODCACHE=$modules" "GOCACHE=$(go env GOCACHE)")
      ;;
    copy)
      mkdir -p "$root$modules"
      cp -a "$modules/." "$root$modules/"
      environment+=("GOMODCACHE=$modules")
      ;;
  esac
  for v in GOPROXY GONOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOFLAGS GOTOOLCHAIN; do
    environment+=("$v=$(go env "$v")")
  done
}

# enter_root makes the bare root this process's root and lets go of the host's:
# unlike in a chroot, a test may make namespaces of its own there.
enter_root() {
  cd "$root"
  mkdir -p .host
  pivot_root . .host
  cd /
  PATH=/usr/sbin:/usr/bin:/sbin:/bin
  hash -r
  umount -l /.host
  rmdir /.host
}

# readme GOAL prints the command as the README prints it.
readme() {
  local line
  # One program: in a pipe, the one before a grep that stops early may fail.
  line=$(awk -v goal="make $1" '
    /^```sh$/ { code = 1 }
    /^```$/ { code = 0 }
    code && ($0 == goal || index($0, goal " ") == 1) { print; found = 1; exit }
    END { exit !found }' "$root/root/station/README.md") ||
    die "the README prints no command \"make $1\""
  echo "${line%%#*}"
}

run_readme() {
  local command begun status=0
  local environment=("HOME=/root" "LANG=C.UTF-8" "TERM=${TERM:-dumb}" "CI=${CI:-}")
  make_root
  join_network
  mount_kernel
  go_toolchain
  for v in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!v:-}" ]; then environment+=("$v=${!v}"); fi
  done
  rm -rf "$root/root/station"
  git -c safe.directory="$top" clone -q --no-hardlinks "$top" "$root/root/station"
  say "commit $(git -C "$root/root/station" log -1 --format='%h %s')"
  command=$(readme "$goal")
  say "\$ $command"
  begun=$SECONDS
  enter_root
  env -i "${environment[@]}" bash -c "cd /root/station && $command" || status=$?
  say "$command: exit $status after $((SECONDS - begun)) s"
  return "$status"
}

# run_program makes a root of one program, the libraries it is linked with and
# four devices, and runs the demo there.
run_program() {
  local cell=$root/cell library status=0
  rm -rf "$cell"
  mkdir -p "$cell/bin" "$cell/dev" "$cell/proc" "$cell/tmp"
  cp "$program" "$cell/bin/stationctl"
  while read -r library; do
    case $library in
      *libX* | *libGL* | *libEGL* | *libwayland* | *libxkb*) die "$program is linked with $library: is it built with the tag nogui?" ;;
    esac
    install -D "$library" "$cell$library"
  done < <(ldd "$program" | grep -oE '/[^ ]+')
  for d in null zero random urandom; do
    touch "$cell/dev/$d"
    mount --bind "/dev/$d" "$cell/dev/$d"
  done
  mount -t proc proc "$cell/proc"
  say "all that is there: $(cd "$cell" && find . -type f ! -path './proc/*' | sort | tr '\n' ' ')"
  say '$ stationctl demo --headless'
  env -i HOME=/tmp PATH=/bin "$(command -v chroot)" "$cell" /bin/stationctl demo --headless || status=$?
  say "stationctl demo --headless: exit $status"
  return "$status"
}

if [ -z "${BARE_ROOT_INSIDE:-}" ]; then
  outside
  exit
fi
root=$BARE_ROOT_INSIDE
unset BARE_ROOT_INSIDE
case $goal in
  make) make_root ;;
  chroot-stationctl) run_program ;;
  demo | test) run_readme ;;
esac
