// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxBody is the largest encoded body in bytes; a larger one is neither written nor read.
const MaxBody = 16 << 10

// Body is what one entry says: a flat object whose zero fields are absent.
// Which fields a kind must and may carry stands in the table of [Kinds]; what a field holds stands in the table of [Fields].
// Digests are SHA-256 in lower-case hex, times are [Timestamp] text, a uid is lower-case hex.
type Body struct {
	Kind     string `json:"kind"`
	Station  string `json:"station"`
	Time     string `json:"time"`
	Operator string `json:"operator"`
	Software string `json:"software"`

	// The unit and what it was made from.
	Run              string `json:"run,omitempty"`
	Serial           string `json:"serial,omitempty"`
	Model            string `json:"model,omitempty"`
	UID              string `json:"uid,omitempty"`
	Hardware         string `json:"hw,omitempty"`
	Slot             int    `json:"slot,omitempty"`
	Port             string `json:"port,omitempty"`
	USB              string `json:"usb,omitempty"`
	Order            string `json:"order,omitempty"`
	Product          string `json:"product,omitempty"`
	ProductDigest    string `json:"product_sha256,omitempty"`
	Profile          string `json:"profile,omitempty"`
	ProfileDigest    string `json:"profile_sha256,omitempty"`
	ConfigDigest     string `json:"config_sha256,omitempty"`
	Anchors          string `json:"anchors_sha256,omitempty"`
	Rework           string `json:"rework_sha256,omitempty"`
	Firmware         string `json:"firmware,omitempty"`
	FirmwareVersion  string `json:"firmware_version,omitempty"`
	FirmwareDigest   string `json:"firmware_sha256,omitempty"`
	FirmwareReported string `json:"firmware_reported,omitempty"`
	Prot             *int   `json:"prot,omitempty"`
	Lock             bool   `json:"lock,omitempty"`
	Attempt          int    `json:"attempt,omitempty"`

	// Its key, request and certificate.
	Alg         string `json:"alg,omitempty"`
	Token       string `json:"token,omitempty"`
	Made        bool   `json:"made,omitempty"`
	BoardAttest string `json:"board_attest_sha256,omitempty"`
	Nonce       string `json:"nonce,omitempty"`
	CSR         string `json:"csr_sha256,omitempty"`
	CSRR        string `json:"csr_r,omitempty"`
	SPKI        string `json:"spki_sha256,omitempty"`
	TBS         string `json:"tbs_sha256,omitempty"`
	CN          string `json:"cn,omitempty"`
	CertSerial  string `json:"cert_serial,omitempty"`
	Cert        string `json:"cert_sha256,omitempty"`
	NotBefore   string `json:"not_before,omitempty"`
	NotAfter    string `json:"not_after,omitempty"`
	IssuerKey   string `json:"issuer_key,omitempty"`
	Predecessor string `json:"predecessor,omitempty"`

	// How the run went.
	Steps         []StepRecord `json:"steps,omitempty"`
	Duration      int64        `json:"duration_ms,omitempty"`
	Outcome       string       `json:"outcome,omitempty"`
	Fault         string       `json:"fault,omitempty"`
	FaultStep     string       `json:"fault_step,omitempty"`
	Detail        string       `json:"detail,omitempty"`
	ChainReadBack string       `json:"chain_sha256,omitempty"`
	Receipt       *Receipt     `json:"receipt,omitempty"`
	Rehearsal     string       `json:"rehearsal_sha256,omitempty"`
	Console       string       `json:"console_sha256,omitempty"`
	Claims        []Claim      `json:"claims,omitempty"`
	Releases      []Claim      `json:"releases,omitempty"`

	// The station and the people.
	TPM         string `json:"tpm,omitempty"`
	TPMClock    int64  `json:"tpm_clock_ms,omitempty"`
	TPMResets   int64  `json:"tpm_resets,omitempty"`
	Simulated   bool   `json:"simulated,omitempty"`
	Schema      string `json:"schema_sha256,omitempty"`
	Role        string `json:"role,omitempty"`
	Method      string `json:"method,omitempty"`
	Action      string `json:"action,omitempty"`
	What        string `json:"what,omitempty"`
	Old         string `json:"old,omitempty"`
	New         string `json:"new,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Approver    string `json:"approver,omitempty"`
	Meaning     string `json:"meaning,omitempty"`
	EntryEpoch  int    `json:"entry_epoch,omitempty"`
	EntrySeq    int64  `json:"entry_seq,omitempty"`
	From        int64  `json:"from,omitempty"`
	To          int64  `json:"to,omitempty"`
	Count       int64  `json:"count,omitempty"`
	RunsPassed  int64  `json:"passed,omitempty"`
	RunsFailed  int64  `json:"failed,omitempty"`
	Format      string `json:"format,omitempty"`
	Filter      string `json:"filter,omitempty"`
	File        string `json:"file,omitempty"`
	FileDigest  string `json:"file_sha256,omitempty"`
	Number      int64  `json:"number,omitempty"`
	NextUpdate  string `json:"next_update,omitempty"`
	CRL         string `json:"crl_sha256,omitempty"`
	Root        string `json:"root_sha256,omitempty"`
	Code        string `json:"code,omitempty"`
	Printer     string `json:"printer,omitempty"`
	Template    string `json:"template,omitempty"`
	Witness     string `json:"witness,omitempty"`
	NV          int64  `json:"nv,omitempty"`
	Attest      string `json:"attest,omitempty"`
	AttestSig   string `json:"attest_sig,omitempty"`
	Origin      string `json:"origin,omitempty"`
	Checkpoint  string `json:"checkpoint_sha256,omitempty"`
	Size        int64  `json:"size,omitempty"`
	Tree        string `json:"tree_sha256,omitempty"`
	OffsetMilli int64  `json:"offset_ms,omitempty"`

	// The evidence for the intermediate's TPM.
	Request        string `json:"request_sha256,omitempty"`
	Challenge      string `json:"challenge_sha256,omitempty"`
	Answer         string `json:"answer_sha256,omitempty"`
	CheckpointCert string `json:"checkpoint_cert_sha256,omitempty"`
}

// StepRecord is one step of a run: how long it took and how often something was sent again.
type StepRecord struct {
	Name    string `json:"name"`
	Ms      int64  `json:"ms"`
	Retries int    `json:"retries"`
}

// Claim is a value that at most one live unit may hold.
type Claim struct {
	Kind  string `json:"kind"`  // ClaimSerial, ClaimUID or ClaimSPKI
	Value string `json:"value"` // the serial, model/uid, or the key's SPKI digest
}

// The kinds of claims.
const (
	ClaimSerial = "serial"
	ClaimUID    = "uid"
	ClaimSPKI   = "spki"

	// ClaimRun is held by every run from its begun to its end entry. It is derived from these and never written into an entry.
	ClaimRun = "run"
)

// timeLayout is RFC 3339 in UTC with exactly six digits, so that text order is time order.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Timestamp is the text of t in a body: RFC 3339, UTC, microseconds (the rest is cut off).
func Timestamp(t time.Time) string { return t.UTC().Format(timeLayout) }

// ParseTime reads the text [Timestamp] writes, and no other.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || Timestamp(t) != s {
		return time.Time{}, fmt.Errorf("%q is not a time of the form %s", s, timeLayout)
	}
	return t, nil
}

// Plain makes a text of a field out of any bytes, such as what a board said: what cannot be printed becomes a question mark,
// and the end is cut off after limit bytes, at a character.
func Plain(s string, limit int) string {
	var b strings.Builder
	for _, r := range s {
		if r == utf8.RuneError || r != ' ' && !unicode.IsPrint(r) {
			r = '?'
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Encode checks b against the tables and returns its canonical form (RFC 8785): the very bytes that are stored, hashed and signed for.
func (b Body) Encode() ([]byte, error) {
	return b.encode(make([]byte, 0, 1<<11))
}

// encode is Encode into a buffer.
func (b *Body) encode(buf []byte) ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	raw := appendCanonical(buf, b)
	if len(raw) > MaxBody {
		return nil, fmt.Errorf("%s entry has %d bytes, at most %d are allowed", b.Kind, len(raw), MaxBody)
	}
	return raw, nil
}

var errNotCanonical = errors.New("entry is not in canonical form (RFC 8785)")

// Decode is the inverse of Encode. It accepts only what Encode can have written:
// unknown, repeated, misplaced or empty fields and any other spelling of the same content are refused.
func Decode(raw []byte) (Body, error) {
	var b Body
	if len(raw) > MaxBody {
		return b, fmt.Errorf("entry has %d bytes, at most %d are allowed", len(raw), MaxBody)
	}
	if scanBody(raw, &b) {
		var buf [4 << 10]byte
		if again, err := b.encode(buf[:0]); err == nil && bytes.Equal(again, raw) {
			return b, nil
		}
	}
	b = Body{}
	// It is none: encoding/json finds out what is wrong with it.
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return Body{}, fmt.Errorf("entry does not parse: %w", err)
	}
	again, err := b.Encode()
	if err != nil {
		return Body{}, err
	}
	// Comparing with our own encoding refuses everything encoding/json is lenient about:
	// key case, repeated keys, trailing data, broken UTF-8, explicit zeros.
	if !bytes.Equal(again, raw) {
		return Body{}, errNotCanonical
	}
	return b, nil
}
