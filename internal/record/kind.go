// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// The kinds of entries. The list is closed: a ledger with another kind was not written by this program.
const (
	KindStart      = "start"
	KindStop       = "stop"
	KindLogin      = "login"
	KindLogout     = "logout"
	KindConfig     = "config"
	KindOrder      = "order"
	KindCA         = "ca"
	KindKey        = "key"
	KindBegun      = "begun"
	KindIssuing    = "issuing"
	KindIssued     = "issued"
	KindProven     = "proven"
	KindEnd        = "end"
	KindRenewed    = "renewed"
	KindRevoked    = "revoked"
	KindCRL        = "crl"
	KindCAVerify   = "caverify"
	KindRework     = "rework"
	KindScrap      = "scrap"
	KindCorrection = "correction"
	KindSignoff    = "signoff"
	KindSeal       = "seal"
	KindClock      = "clock"
	KindSelfcheck  = "selfcheck"
	KindLabel      = "label"
	KindExport     = "export"
	KindImport     = "import"
	KindBackup     = "backup"
	KindRestored   = "restored"
	KindHandover   = "handover"
)

// The outcomes of a run.
const (
	Passed  = "passed"  // every step done, board locked and proven
	Failed  = "failed"  // the unit is at fault
	Error   = "error"   // the station or the bench is at fault
	Aborted = "aborted" // somebody stopped it, or a crash did
)

// Kind describes one kind of entry. Fields every entry has (kind, station, time, operator, software) are not repeated.
type Kind struct {
	Name     string
	Doc      string
	Required []string
	Optional []string
	Values   map[string][]string // allowed values of a text field, where they are a closed list
}

// Kinds returns the table of entry kinds.
func Kinds() []Kind { return slices.Clone(kindTable) }

var common = []string{"kind", "station", "time", "operator", "software"}

// unit is what any entry about a unit may carry.
var unit = []string{
	"run", "serial", "model", "uid", "hw", "slot", "port", "usb", "order", "product", "product_sha256", "profile", "profile_sha256",
	"config_sha256", "anchors_sha256", "rework_sha256", "firmware", "firmware_version", "firmware_sha256", "firmware_reported",
	"prot", "lock", "attempt", "alg", "token", "nonce", "csr_sha256", "spki_sha256", "detail", "tpm", "simulated",
}

// certificate is what an entry about a unit's certificate may carry besides.
var certificate = []string{"tbs_sha256", "cn", "cert_serial", "cert_sha256", "not_before", "not_after", "issuer_key", "csr_r"}

var outcomes = []string{Passed, Failed, Error, Aborted}

var kindTable = []Kind{
	{
		Name: KindStart, Doc: "the program opened the ledger for work",
		Required: list("tpm"), Optional: list("simulated config_sha256 schema_sha256 tpm_clock_ms tpm_resets origin root_sha256 issuer_key detail count"),
	},
	{Name: KindStop, Doc: "the program closed the ledger", Optional: list("reason detail count")},
	{Name: KindLogin, Doc: "an operator signed in", Required: list("role"), Optional: list("method detail")},
	{Name: KindLogout, Doc: "an operator signed out, or was signed out", Optional: list("role reason")},
	{
		Name: KindConfig, Doc: "a setting, product, profile or limit was changed",
		Required: list("what"), Optional: list("old new reason approver config_sha256 product product_sha256 profile profile_sha256 schema_sha256 detail"),
	},
	{
		Name: KindOrder, Doc: "a work order changed",
		Required: list("order action"), Optional: list("product product_sha256 profile profile_sha256 count file file_sha256 reason detail"),
		Values: map[string][]string{"action": {"created", "changed", "imported", "closed"}},
	},
	{
		Name: KindCA, Doc: "the intermediate's life; certified: it certified the key that signs manifests",
		Required: list("action"), Optional: list("cert_sha256 cert_serial not_before not_after issuer_key spki_sha256 csr_sha256 root_sha256 alg tpm simulated reason approver detail " +
			"request_sha256 challenge_sha256 answer_sha256 checkpoint_cert_sha256 crl_sha256 tbs_sha256"),
		Values: map[string][]string{"action": {"requested", "answered", "installed", "listed", "retired", "revoked", "certified"}},
	},
	{
		Name: KindKey, Doc: "a board made its key, or showed one made before",
		Required: list("run model uid alg spki_sha256"), Optional: join(unit, list("made board_attest_sha256 claims")),
	},
	{Name: KindBegun, Doc: "an attempt on a unit began", Required: list("run"), Optional: join(unit, list("claims"))},
	{
		Name: KindIssuing, Doc: "exactly these bytes are about to be signed; in a run, or with predecessor for a renewal",
		Required: list("serial model uid alg spki_sha256 csr_sha256 tbs_sha256 cert_serial not_before not_after issuer_key profile"),
		Optional: join(unit, certificate, list("claims predecessor")),
	},
	{
		Name: KindIssued, Doc: "the certificate exists; it may leave once this entry is committed",
		Required: list("run serial model uid spki_sha256 tbs_sha256 cert_serial cert_sha256 not_before not_after issuer_key"),
		Optional: join(unit, certificate, list("claims predecessor")),
	},
	{
		Name: KindProven, Doc: "the board stores the chain, proved its key and rehearsed TLS with it; only now may it be locked",
		Required: list("run serial model uid spki_sha256 cert_serial cert_sha256 chain_sha256 rehearsal_sha256"),
		Optional: join(unit, certificate),
	},
	{
		Name: KindEnd, Doc: "an attempt ended; passed needs serial, model, uid, certificate, key, chain read back, rehearsal and receipt, failed and error a fault, aborted a fault or reason",
		Required: list("run outcome"),
		Optional: join(unit, certificate, list("steps duration_ms fault fault_step chain_sha256 receipt rehearsal_sha256 console_sha256 reason approver releases")),
		Values:   map[string][]string{"outcome": outcomes},
	},
	{
		Name: KindRenewed, Doc: "a certificate replaced its predecessor without the board on the bench",
		Required: list("serial model uid spki_sha256 tbs_sha256 cert_serial cert_sha256 not_before not_after issuer_key predecessor"),
		Optional: join(unit, certificate, list("reason approver claims")),
	},
	{
		Name: KindRevoked, Doc: "a certificate was revoked",
		Required: list("cert_serial cert_sha256 reason"), Optional: list("run serial model uid spki_sha256 issuer_key approver detail"),
	},
	{
		Name: KindCRL, Doc: "a revocation list was signed",
		Required: list("number crl_sha256 issuer_key next_update"), Optional: list("count reason detail"),
	},
	{
		Name: KindCAVerify, Doc: "a certificate for a cloud's CA registration code was signed",
		Required: list("code cert_serial cert_sha256"), Optional: list("issuer_key not_before not_after csr_sha256 spki_sha256 tbs_sha256 reason approver detail"),
	},
	{
		Name: KindRework, Doc: "a unit's key is taken away for another run; a locked board is unlocked by a signature over nonce, for which it has proven itself in receipt",
		Required: list("model uid reason approver"), Optional: join(unit, certificate, list("chain_sha256 receipt releases")),
	},
	{
		Name: KindScrap, Doc: "a unit was taken out for good",
		Required: list("reason approver"), Optional: join(unit, certificate, list("releases")),
	},
	{
		Name: KindCorrection, Doc: "what an earlier entry should have said; that entry stays. what is the field, old what stood there until now (absent: nothing)",
		Required: list("entry_epoch entry_seq what new reason"), Optional: list("old role approver serial model uid detail"),
		Values: map[string][]string{"what": correctable},
	},
	{
		Name: KindSignoff, Doc: "a person signed for a range of entries of an epoch, of one order if it is named, and for how the runs in it ended: count of them, passed and failed; the rest are the station's errors and what was stopped",
		Required: list("entry_epoch from to meaning reason"), Optional: list("role order count passed failed detail approver"),
	},
	{
		Name: KindSeal, Doc: "the TPM's counter stands at this value from here on; with attest: evidence for the seal before",
		Required: list("nv"), Optional: list("attest attest_sig checkpoint_sha256 size tpm simulated reason detail"),
	},
	{
		Name: KindClock, Doc: "the clock was checked, found wrong, or its floor reset by QA",
		Required: list("what"), Optional: list("offset_ms tpm_clock_ms tpm_resets old new reason approver detail"),
	},
	{
		Name: KindSelfcheck, Doc: "the station examined itself",
		Required: list("what outcome"), Optional: list("count detail size"),
		Values: map[string][]string{"outcome": outcomes},
	},
	{
		Name: KindLabel, Doc: "a label for a unit's end entry was given to a printer, or was not; detail says why not, count how many at once",
		Required: list("action template file_sha256 entry_epoch entry_seq"), Optional: list("run serial model uid order printer witness cert_sha256 reason detail count"),
		Values: map[string][]string{"action": {"printed", "reprinted", "failed", "dropped"}},
	},
	{
		Name: KindExport, Doc: "entries were exported; written before the first byte leaves",
		Required: list("format"), Optional: list("from to count filter file file_sha256 reason approver order detail"),
	},
	{
		Name: KindImport, Doc: "a file was taken in, or one thing in it; of lost entries, what a unit holds or the number of a revocation list",
		Required: list("what file_sha256"),
		Optional: list("file count origin size from to reason approver detail serial model uid spki_sha256 claims issuer_key number"),
	},
	{Name: KindBackup, Doc: "a copy of the ledger was made and verified", Required: list("file file_sha256"), Optional: list("size from to checkpoint_sha256 detail")},
	{
		Name: KindRestored, Doc: "this ledger is a restored copy: a new epoch began, as with a handover",
		Required: list("reason approver origin size checkpoint_sha256 count tree_sha256"), Optional: list("file file_sha256 nv detail"),
	},
	{
		Name: KindHandover, Doc: "a new or cleared TPM: a new epoch began. origin, size and checkpoint_sha256 name the last checkpoint before it, count and tree_sha256 all entries",
		Required: list("reason approver origin size checkpoint_sha256 count tree_sha256"), Optional: list("tpm simulated nv detail"),
	},
}

func list(names string) []string { return strings.Fields(names) }

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		for _, name := range l {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

func kindNamed(name string) (Kind, bool) {
	at := slices.IndexFunc(kindTable, func(k Kind) bool { return k.Name == name })
	if at < 0 {
		return Kind{}, false
	}
	return kindTable[at], true
}

// plan is a kind's part of the tables, looked up beforehand.
type plan struct {
	required []fieldPlace
	fields   []plannedField // all there are, in the order of the table
}

type plannedField struct {
	fieldPlace
	allowed bool
	values  []string // nil: any
}

var planOf = func() map[string]plan {
	plans := make(map[string]plan, len(kindTable))
	for _, k := range kindTable {
		var p plan
		for _, name := range slices.Concat(common, k.Required) {
			p.required = append(p.required, fieldOf[name])
		}
		for _, f := range fieldTable {
			p.fields = append(p.fields, plannedField{fieldOf[f.Name], k.has(f.Name), k.Values[f.Name]})
		}
		plans[k.Name] = p
	}
	return plans
}()

// Validate checks b against the tables: known kind, required fields present, no field the kind does not have, each value legal.
func (b Body) Validate() error { return b.validate() }

func (b *Body) validate() error {
	kind, ok := planOf[b.Kind]
	if !ok {
		return fmt.Errorf("entry kind %.32q is unknown", b.Kind)
	}
	value := reflect.ValueOf(b).Elem()
	for _, f := range kind.required {
		if value.Field(f.index).IsZero() {
			return fmt.Errorf("%s entry lacks %s", b.Kind, f.Name)
		}
	}
	for i := range kind.fields {
		f := &kind.fields[i]
		v := value.Field(f.index)
		if v.IsZero() {
			continue
		}
		if !f.allowed {
			return fmt.Errorf("%s entry may not have %s", b.Kind, f.Name)
		}
		var err error
		if v.Kind() == reflect.String {
			err = f.checkString(v.String())
		} else {
			err = f.check(v.Interface())
		}
		if err != nil {
			return fmt.Errorf("%s entry: %s %w", b.Kind, f.Name, err)
		}
		if f.values != nil && !slices.Contains(f.values, v.String()) {
			return fmt.Errorf("%s entry: %s is %q, allowed are %s", b.Kind, f.Name, v.String(), strings.Join(f.values, ", "))
		}
	}
	if err := b.validateMeaning(); err != nil {
		return fmt.Errorf("%s entry %w", b.Kind, err)
	}
	return nil
}

func (k Kind) has(name string) bool {
	return slices.Contains(common, name) || slices.Contains(k.Required, name) || slices.Contains(k.Optional, name)
}

// validateMeaning holds the few rules that span fields.
func (b *Body) validateMeaning() error {
	if b.Kind == KindEnd {
		switch b.Outcome {
		case Passed:
			if b.Serial == "" || b.Model == "" || b.UID == "" || b.Cert == "" || b.SPKI == "" {
				return errors.New("with outcome passed lacks serial, model, uid, cert_sha256 or spki_sha256")
			}
			if b.Receipt == nil || b.Rehearsal == "" || b.ChainReadBack == "" {
				return errors.New("with outcome passed lacks receipt, rehearsal_sha256 or chain_sha256")
			}
			if b.Fault != "" {
				return errors.New("with outcome passed has a fault")
			}
		case Failed, Error:
			if b.Fault == "" {
				return fmt.Errorf("with outcome %s lacks fault", b.Outcome)
			}
		case Aborted:
			if b.Fault == "" && b.Reason == "" {
				return errors.New("with outcome aborted lacks fault or reason")
			}
		}
	}
	switch b.Kind {
	case KindCorrection:
		return b.validateCorrection()
	case KindSignoff:
		return b.validateSignoff()
	}
	if b.Kind == KindIssuing && b.Run == "" && b.Predecessor == "" {
		return errors.New("is neither of a run nor of a renewal: it lacks run, or predecessor")
	}
	if len(b.Claims)+len(b.Releases) > 0 && b.Unit() == "" {
		return errors.New("takes or releases claims without model and uid")
	}
	return b.validateClaims()
}

// validateClaims refuses a claim on another unit's values: what a unit claims is what the entry says of it.
func (b *Body) validateClaims() error {
	for _, c := range b.Claims {
		if want := b.Says(c.Kind); c.Value != want {
			return fmt.Errorf("claims %s %s but says %q", c.Kind, c.Value, want)
		}
	}
	return nil
}

// Unit is model/uid: what makes two entries speak of one board. It is empty where the board is not known.
func (b Body) Unit() string {
	if b.Model == "" || b.UID == "" {
		return ""
	}
	return b.Model + "/" + b.UID
}
