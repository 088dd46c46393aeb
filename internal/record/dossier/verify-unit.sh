#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Checks what the ledger of a provisioning station says about a unit, with
# nothing but bash, openssl and GNU coreutils, awk, sed and grep.
#
#   verify-unit.sh ROOT.pem UNIT       your own copy of the root certificate
#   verify-unit.sh --key KEY.pem UNIT  or the public key of the ledger
#
# UNIT is what `station ledger export --format audit` wrote, packed or unpacked;
# or a file exported with --proof. Every entry is hashed (RFC 6962), its proof
# (C2SP tlog-proof) is followed to the root of the tree, and the checkpoint over
# that is checked with the key of the ledger, which the root certificate vouches
# for. Each certificate must be the one that its entry names and chain to the
# root. Revocation is not looked at, and a certificate that has run out passes.
#
# Exit codes: 0 all of it is in the ledger, 1 something is not, 2 it could not
# be judged.
set -euo pipefail
export LC_ALL=C

cannot() { echo "error: $*" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0
included=0
certificates=0

# hex of standard input
hex() { od -An -v -tx1 | tr -d ' \n'; }
# the bytes of a hex text
bytes() { local text=$1; printf "$(sed 's/../\\x&/g' <<<"$text")"; }
sha256() { sha256sum | cut -c1-64; }
# a text field of a canonical JSON file; quotes inside texts are escaped there
field() { grep -o "\"$2\":\"[^\"]*\"" "$1" | head -n 1 | cut -d'"' -f4 || true; }
is_number() { [[ $1 =~ ^(0|[1-9][0-9]{0,14})$ ]]; }

# unpack FILE FOLDER: takes an archive of stored members apart.
unpack() {
	local file=$1 folder=$2 at=0 size name length
	size=$(stat -c %s "$file")
	while ((at + 30 <= size)); do
		local -a h
		read -r -a h < <(od -An -v -tu1 -w30 -j "$at" -N 30 "$file")
		[[ "${h[*]:0:4}" == "80 75 3 4" ]] || break
		((h[8] + h[9] == 0)) || cannot "$file: a member is compressed; unpack it, and name the folder"
		length=$((h[18] + (h[19] << 8) + (h[20] << 16) + (h[21] << 24)))
		local named=$((h[26] + (h[27] << 8))) extra=$((h[28] + (h[29] << 8)))
		name=$(part "$file" $((at + 30)) "$named" | tr -d '\0')
		[[ $name =~ ^(entries/[0-9]+-[0-9]+\.(json|tlog-proof)|blobs/[0-9a-f]{64}|[A-Za-z]+[A-Za-z.-]*)$ ]] ||
			cannot "$file: a member has a name that does not belong there"
		mkdir -p "$folder/$(dirname "$name")"
		[[ ! -e $folder/$name ]] || cannot "$file: $name is there twice"
		part "$file" $((at + 30 + named + extra)) "$length" >"$folder/$name"
		at=$((at + 30 + named + extra + length))
	done
}
part() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=65536 status=none; }

# ledger_key ORIGIN: writes the ledger's public key to $work/key.pem. The
# certificate must be issued by the root itself, issue nothing, and name the origin.
ledger_key() {
	[[ -z $key ]] || { cp "$key" "$work/key.pem"; return 0; }
	local c
	for c in "$work"/cert-*.pem; do
		[[ -e $c ]] || break
		openssl verify -no_check_time -no-CApath -no-CAstore -CAfile "$root" "$c" >/dev/null 2>&1 || continue
		openssl x509 -in "$c" -noout -ext basicConstraints 2>/dev/null | grep -q 'CA:TRUE' && continue
		openssl x509 -in "$c" -noout -ext subjectAltName 2>/dev/null | tr ',' '\n' | sed 's/^ *//' | grep -qxF "URI:ledger:$1" || continue
		openssl x509 -in "$c" -noout -pubkey >"$work/key.pem"
		return 0
	done
	return 1
}

# signed NOTE ORIGIN: is there a signature of the ledger's key over the note?
# A signature line is an em dash, the name, and base64 of key id and signature.
signed() {
	local line id
	id=$(openssl pkey -pubin -in "$work/key.pem" -outform DER 2>/dev/null | sha256 | cut -c1-8)
	while read -r line; do
		base64 -d <<<"$line" >"$work/sig" 2>/dev/null || continue
		[[ $(head -c 4 "$work/sig" | hex) == "$id" ]] || continue
		tail -c +5 "$work/sig" >"$work/der"
		openssl dgst -sha256 -verify "$work/key.pem" -signature "$work/der" "$1" >/dev/null 2>&1 && return 0
	done < <(awk -v name="$2" '$1 == "\342\200\224" && $2 == name && NF == 3 { print $3 }' "$work/proof")
	return 1
}

# climb LEAF INDEX SIZE: the root of the tree that the proof leads to (RFC 9162, 2.1.3.2).
climb() {
	local r=$1 fn=$2 sn=$(($3 - 1)) p
	while read -r p; do
		p=$(base64 -d <<<"$p" 2>/dev/null | hex)
		((${#p} == 64 && sn > 0)) || return 1
		if ((fn & 1 || fn == sn)); then
			r=$({ printf '\1'; bytes "$p$r"; } | sha256)
			while ((fn != 0 && !(fn & 1))); do fn=$((fn >> 1)) sn=$((sn >> 1)); done
		else
			r=$({ printf '\1'; bytes "$r$p"; } | sha256)
		fi
		fn=$((fn >> 1)) sn=$((sn >> 1))
	done < <(sed -n '3,/^$/p' "$work/proof" | sed '/^$/d')
	((sn == 0)) && echo "$r"
}

# judge ENTRY PROOF: sets why, if the entry is not in the ledger; and origin,
# index and size.
judge() {
	why="" origin="" index="" size=""
	local entry=$1 sum
	cp "$2" "$work/proof"
	awk 'after { print } /^$/ { after = 1 }' "$work/proof" >"$work/whole"
	sed '/^$/,$d' "$work/whole" >"$work/note"
	{ read -r origin && read -r size && read -r sum; } <"$work/note" || origin=""
	[[ $origin =~ ^[!-~]+$ ]] || { why="its proof holds no checkpoint"; return 0; }
	index=$(sed -n '2s/^index //p' "$work/proof")
	if [[ $(head -n 1 "$work/proof") != "c2sp.org/tlog-proof@v1" ]] || ! is_number "$index" || ! is_number "$size" || ((index >= size)); then
		why="its proof is not one"
	elif ! cmp -s "$work/whole" "$work/good" && ! ledger_key "$origin"; then
		why="no certificate here that the root issued speaks for the ledger of $origin"
	elif ! cmp -s "$work/whole" "$work/good" && ! signed "$work/note" "$origin"; then
		why="the checkpoint is not signed by the key of $origin"
	elif [[ $(climb "$({ printf '\0'; cat "$entry"; } | sha256)" "$index" "$size") != "$(base64 -d <<<"$sum" 2>/dev/null | hex)" ]]; then
		why="the proof does not lead from it to the checkpoint's root"
	else
		cp "$work/whole" "$work/good" # entries share a checkpoint: it is checked once
	fi
}

# check NAME ENTRY PROOF
check() {
	judge "$2" "$3"
	if [[ -n $why ]]; then
		echo "NOT INCLUDED $1: $why"
		wrong=$((wrong + 1))
		return
	fi
	echo "INCLUDED $1: entry $((index + 1)) of $origin, which has $size"
	included=$((included + 1))
}

# no WHAT: what is in the file may not speak to the terminal.
no() { echo "NOT VALID ${*//[^[:print:]]/?}"; wrong=$((wrong + 1)); }

# certificate NAME ENTRY BLOBS: the certificate that an entry says was issued.
certificate() {
	local name file=$2
	name=$(field "$file" cert_sha256)
	local der=$3/$name
	if [[ ! $name =~ ^[0-9a-f]{64}$ || ! -f $der ]]; then no "$1: its certificate is not here"; return; fi
	if [[ $(sha256 <"$der") != "$name" ]]; then no "blobs/$name: it was changed"; return; fi
	openssl x509 -inform DER -in "$der" -out "$work/leaf.pem" 2>/dev/null || { no "blobs/$name: it is no certificate"; return; }
	if [[ $(openssl x509 -in "$work/leaf.pem" -noout -pubkey | openssl pkey -pubin -outform DER | sha256) != "$(field "$file" spki_sha256)" ]]; then
		no "blobs/$name: it is for another key than $1 names"
		return
	fi
	if [[ -n $root ]]; then
		openssl verify -no_check_time -no-CApath -no-CAstore -CAfile "$root" -untrusted "$work/all.pem" "$work/leaf.pem" >/dev/null 2>&1 ||
			{ no "blobs/$name: it does not chain to the root"; return; }
	fi
	certificates=$((certificates + 1))
	openssl x509 -in "$work/leaf.pem" -noout -subject -serial -dates | sed 's/^/  /'
}

# manifest FOLDER: every file is the one that the manifest names.
manifest() {
	local sum name
	if [[ $(sha256 <"$1/MANIFEST.json") != "$(field "$1/MANIFEST.entry.json" file_sha256)" ]]; then
		no "MANIFEST.json: it is not the one that the ledger recorded"
	fi
	while IFS='"' read -r _ _ _ name _ _ _ sum _; do
		if [[ ! -f $1/$name || -L $1/$name || $(sha256 <"$1/$name") != "$sum" ]]; then no "$name: it is not the one that the manifest names"; fi
	done < <(grep -o '{"name":"[^"]*","sha256":"[0-9a-f]*","size":[0-9]*}' "$1/MANIFEST.json")
}

root="" key=""
if [[ ${1:-} == --key && $# == 3 ]]; then
	key=$2 what=$3
elif [[ $# == 2 ]]; then
	root=$1 what=$2
else
	cannot "usage: verify-unit.sh ROOT.pem UNIT, or verify-unit.sh --key KEY.pem UNIT"
fi
[[ -r $root$key ]] || cannot "$root$key cannot be read"
[[ -z $root ]] || openssl x509 -in "$root" -noout 2>/dev/null || cannot "$root holds no certificate"
[[ -z $key ]] || openssl pkey -pubin -in "$key" -noout 2>/dev/null || cannot "$key holds no public key"

folder=$what
if [[ -f $what && -f $what.tlog-proof ]]; then
	[[ -f $what.entry.json && -f $what.certificates.pem ]] || cannot "$what.entry.json or $what.certificates.pem is missing"
	certs=$what.certificates.pem
elif [[ -f $what ]]; then
	folder=$work/unit
	mkdir "$folder"
	unpack "$what" "$folder"
	certs=$folder/certificates.pem
else
	certs=$what/certificates.pem
fi
[[ -f $certs || ! -f $what ]] || ! grep -aq 'epoch-1/entries\.jsonl' "$what" || cannot "$what is a bundle, the whole ledger: ledger-verify judges it; this script judges a unit (--format audit)"
[[ -f $certs ]] || cannot "$what is not what ledger export wrote"
awk -v dir="$work" '
	/^-----BEGIN CERTIFICATE-----$/ { n++; inside = 1 }
	inside { print > (dir "/cert-" n ".pem"); print > (dir "/all.pem") }
	/^-----END CERTIFICATE-----$/ { inside = 0; close(dir "/cert-" n ".pem") }' "$certs"
touch "$work/all.pem"

if [[ -f $what && -f $what.tlog-proof ]]; then
	check "$what.entry.json" "$what.entry.json" "$what.tlog-proof"
	if [[ $(sha256 <"$what") != "$(field "$what.entry.json" file_sha256)" ]]; then no "$what: it is not the file that the ledger recorded"; fi
else
	for f in MANIFEST.json MANIFEST.entry.json MANIFEST.tlog-proof; do
		[[ -f $folder/$f ]] || cannot "$what: $f is missing"
	done
	check MANIFEST.entry.json "$folder/MANIFEST.entry.json" "$folder/MANIFEST.tlog-proof"
	manifest "$folder"
	while read -r entry; do
		name=entries/$(basename "$entry")
		proof=${entry%.json}.tlog-proof
		if [[ ! -f $proof ]]; then no "$name: it has no proof"; continue; fi
		check "$name" "$entry" "$proof"
		if grep -qE '"kind":"(issued|renewed)"' "$entry"; then certificate "$name" "$entry" "$folder/blobs"; fi
	done < <(printf '%s\n' "$folder"/entries/*.json | sort -V)
fi

if ((wrong > 0)); then
	echo "NOT VALID: $wrong things are wrong"
	exit 1
fi
((included > 0)) || cannot "$what holds no entry"
chains=", $certificates certificates that chain to the root"
[[ -n $root ]] || chains=", $certificates certificates, whose chain was not checked"
echo "included: $included entries$chains. Whether the ledger holds more, this file cannot tell."
