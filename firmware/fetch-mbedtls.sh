#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Fetches the distribution's mbedtls source package and unpacks it into
# .cache/mbedtls/SUITE/src at the top of the repository. Nothing under /etc or
# /var is changed and no root is needed: apt runs on a private configuration
# made from the machine's own sources, with deb turned into deb-src. apt checks
# the archive's signature with the keyring that those sources name.
#
#   fetch-mbedtls.sh [SUITE]     SUITE: the release's code name; default: this machine's
set -eu

die() { echo "fetch-mbedtls: $*" >&2; exit 1; }

release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
suite=${1:-$release}
[ -n "$release" ] || die "/etc/os-release names no release; this works on Debian and Ubuntu"

top=$(cd "$(dirname "$0")/.." && pwd)
room=$top/.cache/mbedtls/$suite
[ ! -e "$room/src/library/x509_crt.c" ] || exit 0
command -v dpkg-source >/dev/null || die "dpkg-source is missing: apt-get install dpkg-dev"

# Two builds may start at once (make -j, two checkouts of one cache): one fetches.
mkdir -p "$room"
exec 9>"$room/lock"
flock 9
[ ! -e "$room/src/library/x509_crt.c" ] || exit 0

apt=$room/apt
rm -rf "$apt" "$room/src" "$room/unpack"
mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/sources.list.d" "$room/unpack"
touch "$apt/sources.list"

# Only stanzas that serve this release: a third party's list may hold no sources.
deb822() {
	awk -v RS= -v release="$release" '
		$0 ~ ("(^|\n)Suites:[^\n]*[ \t]" release "([-/ \t\n]|$)") { print $0 "\n" }' "$1" |
		sed -e 's/^Types:.*/Types: deb-src/' -e "s/\b$release\b/$suite/g"
}
oneline() {
	sed -n -e '/^[ \t]*deb[ \t]/s/^[ \t]*deb[ \t]/deb-src /p' "$1" |
		grep -E "[ 	]$release([-/ 	]|\$)" | sed -e "s/\b$release\b/$suite/g"
}
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	if [ -r "$f" ]; then oneline "$f" >>"$apt/sources.list" || true; fi
done
for f in /etc/apt/sources.list.d/*.sources; do
	if [ -r "$f" ]; then deb822 "$f" >>"$apt/sources.list.d/src.sources"; fi
done
[ -s "$apt/sources.list" ] || [ -s "$apt/sources.list.d/src.sources" ] ||
	die "no apt source for $release in /etc/apt/sources.list or /etc/apt/sources.list.d"

# Proxies, credentials and trusted keys stay the machine's own (Dir::Etc is not moved).
cat >"$apt/apt.conf" <<CONF
Dir::State::lists "$apt/lists";
Dir::Cache "$apt";
Dir::Cache::archives "$apt/archives";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/sources.list.d";
APT::Sandbox::User "$(id -un)";
APT::Get::List-Cleanup "true";
Acquire::Languages "none";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get -q update >"$apt/log" 2>&1 || { cat "$apt/log" >&2; die "apt-get update failed, see above"; }
(cd "$room/unpack" && apt-get -q source --download-only mbedtls) >>"$apt/log" 2>&1 ||
	{ cat "$apt/log" >&2; die "the apt sources hold no source package mbedtls (Ubuntu: component universe)"; }
# apt has checked the files against the signed index; the uploader's own key need not be here.
dpkg-source --no-check -x "$room"/unpack/mbedtls_*.dsc "$room/unpack/src" >>"$apt/log"
mv "$room/unpack/src" "$room/src"
rm -rf "$apt" "$room/unpack"
