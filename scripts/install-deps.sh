#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the packages that a goal needs and that are missing, and says what
# and why. Usage: install-deps.sh build|demo|test|bench|bench
set -euo pipefail

goal=${1:?usage: install-deps.sh build|demo|test|bench|bench}

# package, goals it is for, what for
table='
gcc                 build,demo,test  compiles SQLite, the TPM simulator and the window code
libc6-dev           build,demo,test  headers for gcc
pkg-config          build,demo,test  finds the window libraries
libssl-dev          build,demo,test  headers for the TPM simulator
libgl-dev           build,demo,test  OpenGL headers for the window
libegl-dev          build,demo,test  EGL headers for the window
libx11-dev          build,demo,test  X11 headers for the window
libxcursor-dev      build,demo,test  X11 headers for the window
libxrandr-dev       build,demo,test  X11 headers for the window
libxinerama-dev     build,demo,test  X11 headers for the window
libxi-dev           build,demo,test  X11 headers for the window
libxxf86vm-dev      build,demo,test  X11 headers for the window
libwayland-dev      build,demo,test  Wayland headers for the window
libxkbcommon-dev    build,demo,test  keyboard headers for the window
make                test,bench       builds the device agent
clang               test             compiles the fuzz targets of the device agent
libclang-rt-dev     test             libFuzzer and the sanitizers for clang
dpkg-dev            test,bench       unpacks the source package of mbedtls
gcc-arm-none-eabi   test             builds the device agent for a Cortex-M3
libnewlib-arm-none-eabi test         C library for that compiler
qemu-system-arm     test             a Cortex-M3 board that runs it
openssl             test,bench       a second opinion on certificates and requests
sqlite3             test,bench       a second reader of the ledger
postgresql          test,bench       database of a plant, PostgreSQL
swtpm               test,bench       a TPM in software, as another process
swtpm-tools         test,bench       makes that TPM
tpm2-openssl        test,bench       openssl signs with a key in the TPM: exported key files, and a peer
tpm2-tools          test             a second opinion on quotes and exported key files
e2fsprogs           test             makes the file systems whose power is cut: ext4
xfsprogs            test             the same: xfs
mosquitto           test             an MQTT broker that demands client certificates
xvfb                test             a display without a screen
xdotool             test             clicks on the window
openbox             test             a window manager for that display
imagemagick         test             takes the picture of the window
zbar-tools          test             reads the QR codes of labels back
dmtx-utils          test             reads their DataMatrix codes back
g++                 test             compiles the exported C header as Arduino does
libgl1-mesa-dri     demo,test        draws the window without a graphics card
'

missing=()
while read -r package goals why; do
  [ -n "$package" ] || continue
  case ",$goals," in *",$goal,"*) ;; *) continue ;; esac
  if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
    echo "missing: $package ($why)"
    missing+=("$package")
  fi
done <<<"$table"

if ! command -v go >/dev/null; then
  echo "error: there is no Go toolchain on the PATH" >&2
  echo "hint: install Go 1.26 or later, then run make again" >&2
  exit 2
fi
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "error: this system has no apt-get, so the packages above must be installed by hand" >&2
  exit 2
fi
as_root=()
if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
echo "installing ${#missing[@]} packages with apt-get"
"${as_root[@]}" apt-get -o DPkg::Lock::Timeout=180 -qq update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=180 -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
