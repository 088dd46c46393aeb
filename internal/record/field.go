// SPDX-License-Identifier: Apache-2.0

package record

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Type says what a field holds and how it is written.
type Type string

// The types of fields. None of them has a written form for "empty": such a field is absent.
const (
	Text     Type = "text"    // printable UTF-8
	Digest   Type = "digest"  // SHA-256, 64 lower-case hex digits
	Hex      Type = "hex"     // whole bytes in lower-case hex
	Time     Type = "time"    // RFC 3339, UTC, six digits
	Number   Type = "number"  // integer from 1 to 2^53-1
	Signed   Type = "signed"  // integer other than 0, magnitude below 2^53
	Octet    Type = "octet"   // integer from 0 to 255
	Flag     Type = "flag"    // true, or absent
	Steps    Type = "steps"   // list of {name, ms, retries}
	Claims   Type = "claims"  // list of {kind, value}
	Receipts Type = "receipt" // the board's signature with every input
	Algo     Type = "alg"     // ES256, ES384, EdDSA or RS256
	RunID    Type = "run"     // 16 random bytes in lower-case hex
)

// Field describes one field of a body.
type Field struct {
	Name    string // as written in JSON
	Type    Type
	Max     int    // Text: bytes; Hex: bytes before encoding; lists: elements
	Doc     string // one line for people
	Example string // JSON text
}

const maxNumber = 1<<53 - 1

// Fields returns the table of all fields, in the order in which the documentation lists them.
func Fields() []Field { return slices.Clone(fieldTable) }

const (
	exDigest  = `"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`
	exDigest2 = `"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"`
	exTime    = `"2026-11-22T07:31:00.000000Z"`
)

var fieldTable = []Field{
	{"kind", Text, 16, "entry kind", `"issued"`},
	{"station", Text, 128, "who writes: plant/station", `"ulm/st-07"`},
	{"time", Time, 0, "when, by the station's clock", exTime},
	{"operator", Text, 128, "operator id; names live in a register outside the ledger", `"op-17"`},
	{"software", Text, 128, "program and version that wrote the entry", `"station 1.0.0"`},

	{"run", RunID, 0, "one attempt on one unit", `"00112233445566778899aabbccddeeff"`},
	{"serial", Text, 64, "serial number of the unit", `"SN-000123"`},
	{"model", Text, 64, "model the board reports", `"gw-2"`},
	{"uid", Hex, 32, "the silicon's identity, unique in its model", `"8a3c00112233445566778899"`},
	{"hw", Text, 64, "hardware revision the board reports", `"rev-c"`},
	{"slot", Number, 0, "place on the bench, counted from 1", `3`},
	{"port", Text, 256, "serial port", `"/dev/ttyUSB0"`},
	{"usb", Text, 256, "USB location of the slot", `"1-1.4"`},
	{"order", Text, 64, "work order", `"WO-4711"`},
	{"product", Text, 64, "product", `"gateway"`},
	{"product_sha256", Digest, 0, "digest of the product file", exDigest},
	{"profile", Text, 64, "certificate profile", `"mtls"`},
	{"profile_sha256", Digest, 0, "digest of the profile", exDigest},
	{"config_sha256", Digest, 0, "digest of the station's configuration", exDigest},
	{"anchors_sha256", Digest, 0, "digest of the anchors object written to the board", exDigest},
	{"rework_sha256", Digest, 0, "digest of the rework object written to the board", exDigest},
	{"firmware", Text, 128, "firmware image, by name", `"gw-2.bin"`},
	{"firmware_version", Text, 128, "firmware version the board reports", `"2.4.1"`},
	{"firmware_sha256", Digest, 0, "digest of the firmware file", exDigest},
	{"firmware_reported", Hex, 64, "digest of the image that the boot loader reports", exDigest},
	{"prot", Octet, 0, "what protects the key on the board (protocol, prot bits)", `3`},
	{"lock", Flag, 0, "the product wants the board locked", `true`},
	{"attempt", Number, 0, "how many times this unit was begun, this one included", `1`},

	{"alg", Algo, 0, "key algorithm", `"ES256"`},
	{"token", Hex, 32, "token under which the key was made", exDigest2},
	{"made", Flag, 0, "the key was made under this token", `true`},
	{"board_attest_sha256", Digest, 0, "platform evidence for the key (blob)", exDigest},
	{"nonce", Hex, 32, "nonce in the request's challengePassword", exDigest2},
	{"csr_sha256", Digest, 0, "certificate request (blob)", exDigest},
	{"csr_r", Hex, 66, "r of the request's ECDSA signature", exDigest2},
	{"spki_sha256", Digest, 0, "the unit's public key: digest of its SubjectPublicKeyInfo", exDigest},
	{"tbs_sha256", Digest, 0, "the bytes to be signed, or that were signed (blob)", exDigest},
	{"cn", Text, 64, "common name in the certificate", `"SN-000123"`},
	{"cert_serial", Hex, 20, "serial number of the certificate", `"2f0c8e1d5a7b4c3d9e8f7a6b5c4d3e2f"`},
	{"cert_sha256", Digest, 0, "the certificate (blob)", exDigest2},
	{"not_before", Time, 0, "start of validity", exTime},
	{"not_after", Time, 0, "end of validity", `"2027-11-22T07:31:00.000000Z"`},
	{"issuer_key", Hex, 32, "subject key id of the issuer", `"0102030405060708090a0b0c0d0e0f1011121314"`},
	{"predecessor", Digest, 0, "certificate that this one replaces", exDigest},

	{"steps", Steps, 64, "steps of the run with milliseconds and retries", `[{"name":"PROVE","ms":310,"retries":0}]`},
	{"duration_ms", Number, 0, "length of the run in milliseconds", `2750`},
	{"outcome", Text, 16, "how it ended", `"passed"`},
	{"fault", Text, 32, "fault code", `"F-PROVE-02"`},
	{"fault_step", Text, 32, "step in which the fault arose", `"PROVE"`},
	{"detail", Text, 1024, "for people: what was seen", `"signature does not verify"`},
	{"chain_sha256", Digest, 0, "digest of the chain read back from the board", exDigest},
	{"receipt", Receipts, 0, "the board's signature over what it stores", `{"alg":"ES256","nonce":` + exDigest + `,"chain":` + exDigest2 + `,"prot":3,"state":3,"uid":"8a3c00112233445566778899","sig":"3006020101020101"}`},
	{"rehearsal_sha256", Digest, 0, "digest of the CertificateVerify content of the rehearsal", exDigest},
	{"console_sha256", Digest, 0, "console text of the unit (blob)", exDigest},
	{"claims", Claims, 8, "values this unit holds from this entry on", `[{"kind":"serial","value":"SN-000123"},{"kind":"uid","value":"gw-2/8a3c00112233445566778899"}]`},
	{"releases", Claims, 8, "values this unit gives back with this entry", `[{"kind":"serial","value":"SN-000123"}]`},

	{"tpm", Text, 256, "TPM in use: kind, maker, firmware", `"dev:/dev/tpmrm0 STM 1.769"`},
	{"tpm_clock_ms", Number, 0, "the TPM's clock in milliseconds", `86400000`},
	{"tpm_resets", Number, 0, "the TPM's reset count", `12`},
	{"simulated", Flag, 0, "the TPM is simulated: its keys can be copied", `true`},
	{"schema_sha256", Digest, 0, "digest of the ledger's schema", exDigest},
	{"role", Text, 32, "role of the operator", `"technician"`},
	{"method", Text, 64, "how the operator signed in", `"badge"`},
	{"action", Text, 32, "what was done", `"installed"`},
	{"what", Text, 128, "what was changed, checked, corrected or imported", `"slot 3"`},
	{"old", Text, 1024, "value before", `"SN-000122"`},
	{"new", Text, 1024, "value after", `"SN-000123"`},
	{"reason", Text, 512, "why", `"label torn, reprinted"`},
	{"approver", Text, 128, "operator id of who approved", `"qa-2"`},
	{"meaning", Text, 128, "what the signature means (21 CFR 11.50)", `"reviewed"`},
	{"entry_epoch", Number, 0, "epoch of the entry referred to", `1`},
	{"entry_seq", Number, 0, "number of the entry referred to", `17`},
	{"from", Number, 0, "first entry of a range", `1`},
	{"to", Number, 0, "last entry of a range", `4711`},
	{"count", Number, 0, "how many", `250`},
	{"passed", Number, 0, "of these, runs that passed", `241`},
	{"failed", Number, 0, "of these, runs of units that were at fault", `7`},
	{"format", Text, 32, "file format", `"jsonl"`},
	{"filter", Text, 512, "which entries", `"order=WO-4711"`},
	{"file", Text, 256, "file name without folder", `"ledger-2026-11-22.jsonl"`},
	{"file_sha256", Digest, 0, "digest of the file", exDigest},
	{"number", Number, 0, "CRL number", `7`},
	{"next_update", Time, 0, "when the next CRL is due", exTime},
	{"crl_sha256", Digest, 0, "the CRL (blob)", exDigest},
	{"root_sha256", Digest, 0, "the root certificate", exDigest},
	{"code", Text, 256, "registration code of the cloud", `"3c1f7a"`},
	{"printer", Text, 128, "printer", `"zebra-1"`},
	{"template", Text, 128, "label template", `"pass-40x20"`},
	{"witness", Text, 128, "witness printed on the label: origin, entry, tree size, start of the root", `"ulm/st-07/1/4711/4720/CsUYapGGPo4dkMgIAUqomw"`},
	{"nv", Number, 0, "value of the TPM's counter that this seal stands for", `42`},
	{"attest", Hex, 1024, "TPMS_ATTEST of NV_Certify", `"ff544347"`},
	{"attest_sig", Hex, 512, "signature of the attestation key over attest", `"3006020101020101"`},
	{"origin", Text, 128, "origin of another epoch or ledger", `"ulm/st-07/1"`},
	{"checkpoint_sha256", Digest, 0, "checkpoint note (blob)", exDigest},
	{"size", Number, 0, "tree size of that checkpoint, or bytes of a file", `4711`},
	{"tree_sha256", Digest, 0, "root of the tree over all entries of the epoch that ended", exDigest2},
	{"offset_ms", Signed, 0, "how far the clock was off, in milliseconds", `-4200`},

	{"request_sha256", Digest, 0, "the request for an intermediate (blob)", exDigest},
	{"challenge_sha256", Digest, 0, "the root's challenge of the TPM (blob)", exDigest},
	{"answer_sha256", Digest, 0, "the answer to that challenge (blob)", exDigest2},
	{"checkpoint_cert_sha256", Digest, 0, "certificate of the checkpoint key (blob)", exDigest},
}

// fieldOf finds a field's description and its place in Body by its JSON name.
var fieldOf = func() map[string]fieldPlace {
	byName := make(map[string]fieldPlace, len(fieldTable))
	t := reflect.TypeFor[Body]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		at := slices.IndexFunc(fieldTable, func(f Field) bool { return f.Name == name })
		if at >= 0 {
			byName[name] = fieldPlace{fieldTable[at], i}
		}
	}
	return byName
}()

type fieldPlace struct {
	Field
	index int
}

// check tells whether v, which is not zero, is a legal value of the field.
func (f Field) check(v any) error {
	switch v := v.(type) {
	case string:
		return f.checkString(v)
	case int:
		return f.checkInt(int64(v))
	case int64:
		return f.checkInt(v)
	case *int:
		return f.checkInt(int64(*v))
	case []StepRecord:
		return f.checkSteps(v)
	case []Claim:
		return f.checkClaims(v)
	case *Receipt:
		return v.validate()
	}
	return nil // flags
}

func (f Field) checkString(s string) error {
	switch f.Type {
	case Digest:
		return checkHex(s, 32, 32)
	case RunID:
		return checkHex(s, 16, 16)
	case Hex:
		return checkHex(s, 1, f.Max)
	case Time:
		_, err := ParseTime(s)
		return err
	case Algo:
		if !slices.Contains(algorithms, s) {
			return fmt.Errorf("is %q, allowed are %s", s, strings.Join(algorithms, ", "))
		}
		return nil
	}
	return checkText(s, f.Max)
}

var algorithms = []string{"ES256", "ES384", "EdDSA", "RS256"}

func (f Field) checkInt(n int64) error {
	lo, hi := int64(1), int64(maxNumber)
	switch f.Type {
	case Signed:
		lo = -maxNumber
	case Octet:
		lo, hi = 0, 255
	}
	if n < lo || n > hi {
		return fmt.Errorf("is %d, allowed are %d to %d", n, lo, hi)
	}
	return nil
}

func (f Field) checkSteps(steps []StepRecord) error {
	if len(steps) > f.Max {
		return fmt.Errorf("has %d steps, at most %d are allowed", len(steps), f.Max)
	}
	for _, s := range steps {
		if err := checkText(s.Name, 32); err != nil {
			return fmt.Errorf("has a step whose name %w", err)
		}
		if s.Ms < 0 || s.Ms > maxNumber || s.Retries < 0 || s.Retries > 1<<20 {
			return fmt.Errorf("has step %s with %d ms and %d retries", s.Name, s.Ms, s.Retries)
		}
	}
	return nil
}

func (f Field) checkClaims(claims []Claim) error {
	if len(claims) > f.Max {
		return fmt.Errorf("has %d claims, at most %d are allowed", len(claims), f.Max)
	}
	for i, c := range claims {
		if !slices.Contains([]string{ClaimSerial, ClaimUID, ClaimSPKI}, c.Kind) {
			return fmt.Errorf("has a claim of kind %q, allowed are serial, spki and uid", c.Kind)
		}
		if err := checkText(c.Value, 160); err != nil {
			return fmt.Errorf("has a claim whose value %w", err)
		}
		if slices.Contains(claims[:i], c) {
			return fmt.Errorf("claims %s %s twice", c.Kind, c.Value)
		}
	}
	return nil
}

func checkText(s string, limit int) error {
	switch {
	case s == "":
		return fmt.Errorf("is empty")
	case len(s) > limit:
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(s), limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("is not UTF-8")
	}
	for _, r := range s {
		// Direction marks could make a person read another text than a program does.
		if r != ' ' && !unicode.IsPrint(r) {
			return fmt.Errorf("has the unprintable character %U", r)
		}
	}
	return nil
}

func checkHex(s string, lo, hi int) error {
	digits := len(s)%2 == 0
	for i := 0; digits && i < len(s); i++ {
		digits = '0' <= s[i] && s[i] <= '9' || 'a' <= s[i] && s[i] <= 'f'
	}
	if !digits {
		return fmt.Errorf("is %.80q, which is not lower-case hex", s)
	}
	if n := len(s) / 2; n < lo || n > hi {
		return fmt.Errorf("has %d bytes, allowed are %d to %d", n, lo, hi)
	}
	return nil
}
