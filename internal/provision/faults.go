// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"cmp"
	"context"
	"errors"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/flasher"
	"provisioning.example/station/internal/issuer"
	"provisioning.example/station/internal/ledger"
	"provisioning.example/station/internal/smp"
	"provisioning.example/station/internal/tpm"
)

// catalogue is every fault a run can end with. Codes are F-STEP-NN and are
// never renumbered: ledgers, labels and habits hold them. Numbers from 90 are
// the troubles any conversation with a board can meet, the same at each step.
//
// The table is the one source of README's and docs/faults.md's lists.
var catalogue = []Fault{
	{"F-CONNECT-01", "CONNECT", "The port cannot be opened.", "See the reason below, mend it, then retry.", Retry, nil},
	{"F-CONNECT-02", "CONNECT", "The board answers, but has no enrollment agent.", "Put the right firmware on the board.", RejectUnit, nil},
	{"F-CONNECT-03", "CONNECT", "The board speaks another protocol version.", "Put the right firmware on the board.", RejectUnit, nil},
	{"F-CONNECT-04", "CONNECT", "This is another model of board.", "Take the board away, or choose its product.", RejectUnit, nil},
	{"F-CONNECT-05", "CONNECT", "The board holds a key this ledger does not know.", "Give it to rework: it was provisioned elsewhere.", RejectUnit, nil},
	{"F-CONNECT-06", "CONNECT", "The scanned serial is not the one on record for this board.", "Scan the board's own label.", RejectUnit, nil},
	{"F-CONNECT-07", "CONNECT", "The board does not protect its key as the product demands.", "Set the board's protection bits, then retry.", RejectUnit, nil},
	{"F-CONNECT-08", "CONNECT", "The board does not offer the product's key algorithm.", "Put the right firmware on the board.", RejectUnit, nil},
	{"F-CONNECT-09", "CONNECT", "This serial already belongs to another board.", "Scan the board's own label, or give it to QA.", RejectUnit, nil},
	{"F-CONNECT-10", "CONNECT", "The board was locked by something else than this line.", "Give it to rework.", RejectUnit, nil},
	{"F-CONNECT-11", "CONNECT", "A board with this ID is done, and this one has not its key.", "Give it to QA: it was wiped, or is a second one.", RejectUnit, nil},
	{"F-CONNECT-12", "CONNECT", "The board's firmware trusts another root.", "Put firmware with this line's root on the board.", RejectUnit, nil},
	{"F-CONNECT-13", "CONNECT", "This board is already being provisioned in another slot.", "Check the bench: two slots reach one board.", RejectUnit, nil},
	{"F-CONNECT-14", "CONNECT", "This board was scrapped.", "Put it with the scrap.", RejectUnit, nil},
	{"F-CONNECT-15", "CONNECT", "The list of units has no row for this board.", "Check the list, or take the board away.", RejectUnit, nil},
	{"F-CONNECT-16", "CONNECT", "This serial or board ID does not fit the certificate.", "Scan the right label, or call the line's engineer.", RejectUnit, nil},
	{"F-CONNECT-17", "CONNECT", "This board's certificate was revoked.", "Give it to rework, or put it with the scrap.", RejectUnit, nil},
	{"F-CONNECT-18", "CONNECT", "This board's certificate was renewed since it left the line.", "Give it to rework.", RejectUnit, nil},
	{"F-CONNECT-19", "CONNECT", "Another unit's certificate has this unit's name.", "Call the line's engineer: names are not unique.", RejectUnit, nil},
	{"F-CONNECT-20", "CONNECT", "This board belongs to another station.", "Give it to rework at that station.", RejectUnit, nil},
	{"F-CONNECT-21", "CONNECT", "This serial belongs to a unit of another station.", "Scan the board's own label, or give it to QA.", RejectUnit, nil},
	{"F-CONNECT-22", "CONNECT", "The board has no room for the product's anchors.", "Call the line's engineer: product and board differ.", RejectUnit, nil},
	{"F-CONNECT-23", "CONNECT", "The rework of this board was not finished.", "Give it to rework once more.", RejectUnit, nil},
	{"F-CONNECT-24", "CONNECT", "The order has no serial number left.", "Call the line's engineer: the order's range is used up.", StopStation, nil},
	{"F-CONNECT-25", "CONNECT", "This serial is not one of the order's.", "Scan a label of this order.", RejectUnit, nil},
	{"F-FLASH-01", "FLASH", "The board takes no firmware images.", "Put a boot loader and firmware on that do.", RejectUnit, nil},
	{"F-FLASH-02", "FLASH", "The board is locked with other firmware.", "Give it to rework.", RejectUnit, nil},
	{"F-FLASH-03", "FLASH", "The firmware image is for another board.", "Take the board away, or choose its product.", RejectUnit, nil},
	{"F-FLASH-04", "FLASH", "The firmware image is too large for the board.", "Call the line's engineer: product and board differ.", RejectUnit, nil},
	{"F-FLASH-05", "FLASH", "The board refuses the firmware image.", "Retry once, then call the line's engineer.", Retry, nil},
	{"F-FLASH-06", "FLASH", "The upload of the firmware does not get on.", "Retry once, then put the board aside.", Retry, nil},
	{"F-FLASH-07", "FLASH", "The board stored other firmware than was sent.", "Retry once, then put the board aside.", Retry, nil},
	{"F-FLASH-08", "FLASH", "The board went back to its old firmware.", "Retry once, then call the line's engineer.", Retry, nil},
	{"F-FLASH-09", "FLASH", "The board did not restart for its new firmware.", "Retry once, then put the board aside.", Retry, nil},
	{"F-FLASH-10", "FLASH", "The board does not keep its new firmware.", "Retry once, then put the board aside.", Retry, nil},
	{"F-KEY-01", "KEY", "The board made a key that another unit already has.", "Give the board to QA: its random source is not random.", RejectUnit, nil},
	{"F-KEY-02", "KEY", "The board's random source failed its own test.", "Put the board aside.", RejectUnit, nil},
	{"F-KEY-03", "KEY", "The board kept an old key although a new one was asked for.", "Put the board aside.", RejectUnit, nil},
	{"F-KEY-04", "KEY", "The board made a key that it had before.", "Give the board to QA: its random source is not random.", RejectUnit, nil},
	{"F-KEY-05", "KEY", "The board made a key that a unit of another station has.", "Give the board to QA: its random source is not random.", RejectUnit, nil},
	{"F-REQUEST-01", "REQUEST", "The request's signature is wrong.", "Retry once, then put the board aside.", Retry, nil},
	{"F-REQUEST-02", "REQUEST", "The request is not fresh: it answers another question.", "Retry once, then put the board aside.", Retry, nil},
	{"F-REQUEST-03", "REQUEST", "The request names another identity.", "Put the board aside.", RejectUnit, nil},
	{"F-REQUEST-04", "REQUEST", "The request is for another key.", "Put the board aside.", RejectUnit, nil},
	{"F-REQUEST-05", "REQUEST", "The request asks for more than an identity.", "Put the board aside.", RejectUnit, nil},
	{"F-REQUEST-06", "REQUEST", "The board's key is too weak.", "Put the board aside.", RejectUnit, nil},
	{"F-REQUEST-07", "REQUEST", "The request cannot be read.", "Retry once, then put the board aside.", Retry, nil},
	{"F-REQUEST-08", "REQUEST", "The board signed with another board's random number.", "Give both boards to QA: their keys can be computed.", RejectUnit, nil},
	{"F-REQUEST-09", "REQUEST", "The board's key is of another kind than was asked for.", "Put the board aside.", RejectUnit, nil},
	{"F-REQUEST-10", "REQUEST", "The request has no challengePassword.", "Put the right firmware on the board.", RejectUnit, nil},
	{"F-REQUEST-11", "REQUEST", "The request has more than one challengePassword.", "Put the right firmware on the board.", RejectUnit, nil},
	{"F-REQUEST-12", "REQUEST", "The request has a text in the wrong string type.", "Put the right firmware on the board.", RejectUnit, nil},
	{"F-REQUEST-13", "REQUEST", "The request is empty or too long.", "Retry once, then put the board aside.", Retry, nil},
	{"F-REQUEST-14", "REQUEST", "The board signed with a random number of another station's board.", "Give the board to QA: its random source is not random.", RejectUnit, nil},
	{"F-ISSUE-01", "ISSUE", "The station's TPM does not answer.", "Call the line's engineer, retry when TPM is green.", Retry, nil},
	{"F-ISSUE-02", "ISSUE", "The TPM refuses the station's PIN.", "Restart the station with the right PIN.", StopStation, nil},
	{"F-ISSUE-03", "ISSUE", "The TPM is locked after wrong PINs.", "Wait until it heals, then retry.", Retry, nil},
	{"F-ISSUE-05", "ISSUE", "The certificate this unit would get breaks a rule.", "Call the line's engineer: the profile is wrong.", StopStation, nil},
	{"F-ISSUE-06", "ISSUE", "The board cannot check this certificate chain.", "Call the line's engineer: product and board differ.", RejectUnit, nil},
	{"F-ISSUE-07", "ISSUE", "The station's clock jumped.", "Set the clock, then restart the station.", StopStation, nil},
	{"F-ISSUE-08", "ISSUE", "The station's intermediate may not issue at this date.", "Set the clock, or renew the intermediate.", StopStation, nil},
	{"F-ISSUE-09", "ISSUE", "The board's certificate is from a retired intermediate.", "Give it to rework.", RejectUnit, nil},
	{"F-ISSUE-10", "ISSUE", "The board cannot hold this certificate chain.", "Call the line's engineer: product and board differ.", RejectUnit, nil},
	{"F-INSTALL-01", "INSTALL", "The board refuses the certificate chain.", "Put the board aside.", RejectUnit, nil},
	{"F-INSTALL-02", "INSTALL", "The board says the certificate is not for its key.", "Retry once, then put the board aside.", Retry, nil},
	{"F-INSTALL-03", "INSTALL", "The board could not store the certificate.", "Retry once, then put the board aside.", Retry, nil},
	{"F-PROVE-01", "PROVE", "The board cannot prove its key.", "Retry once, then put the board aside.", Retry, nil},
	{"F-PROVE-02", "PROVE", "The board kept another chain.", "Reseat the board, then retry.", Retry, nil},
	{"F-PROVE-03", "PROVE", "The board did not keep the chain.", "Retry once, then put the board aside.", Retry, nil},
	{"F-REHEARSE-01", "REHEARSE", "The TLS server did not accept the board.", "Retry once, then put the board aside.", Retry, nil},
	{"F-REHEARSE-02", "REHEARSE", "The product's TLS server cannot be reached.", "Call the line's engineer, then retry.", Retry, nil},
	{"F-LOCK-01", "LOCK", "The board says it is locked, but it is not.", "Put the board aside.", RejectUnit, nil},
	{"F-RECEIPT-01", "RECEIPT", "The board did not restart.", "Retry once, then put the board aside.", Retry, nil},
	{"F-RECEIPT-02", "RECEIPT", "The board lost its lock or its chain when it restarted.", "Put the board aside.", RejectUnit, nil},
	{"F-RECEIPT-03", "RECEIPT", "After the restart the board cannot prove its key.", "Retry once, then put the board aside.", Retry, nil},
	{"F-LINE-01", "LINE", "Board after board did not pass.", "Look at station and boards, then press RESUME.", StopStation, nil},
	{"F-LINE-02", "LINE", "Several slots end with the same fault.", "Look at the station, not the boards; then press RESUME.", StopStation, nil},
	{"F-LINE-03", "LINE", "Board after board did not pass in this slot alone.", "Check the cable and fixture, then start the slot by hand.", Retry, nil},
	{"F-RECORD-01", "RECORD", "The ledger cannot be written.", "Free the disk; the line goes on when the ledger does.", StopStation, nil},
	{"F-RECORD-02", "RECORD", "The ledger cannot be signed: the TPM does not answer.", "Call the line's engineer, retry when TPM is green.", Retry, nil},
	{"F-RECORD-03", "RECORD", "The disk is nearly full.", "Free the disk; then the line goes on.", StopStation, nil},
	{"F-RECORD-04", "RECORD", "The ledger cannot be read.", "Call the line's engineer: see station ledger verify.", StopStation, nil},
	{"F-RECORD-05", "RECORD", "The disk refuses what the ledger writes.", "Mend the disk, then start the station again.", StopStation, nil},
	{"F-RECORD-06", "RECORD", "The TPM's counter does not fit the ledger.", "Give it to QA: see station doctor.", StopStation, nil},
}

// common are the troubles of any conversation, under F-STEP-9N at each step
// that talks to the board. They are tried in order: what came back after a lost
// link, another board or one that talks nonsense, says more than the loss.
var common = []struct {
	nn               string
	sentence, remedy string
	action           Action
	is               func(error) bool
}{
	{"92", "The board floods the line with text.", "Power the board off and on, then retry.", Retry, isErr(smp.ErrBabble)},
	{"94", "Another board answered in the middle of the run.", "Leave one board in the slot, then retry.", Retry, isErr(enroll.ErrOtherBoard)},
	{"93", "The board's answer makes no sense.", "Retry once, then put the board aside.", Retry, isAny(smp.ErrAnswer, smp.ErrTooLarge, enroll.ErrAnswer, flasher.ErrAnswer)},
	{"96", "The board says it is busy and never gets done.", "Power the board off and on, then retry.", Retry, isErr(enroll.ErrBusy)},
	{"95", "The board refused the command.", "Retry once, then put the board aside.", Retry, isA[*smp.RCError]},
	{"91", "The board's cable was pulled or the port went away.", "Plug the board in firmly, then retry.", Retry, isA[*smp.LinkError]},
	{"90", "The board does not answer.", "Reseat the board, then retry.", Retry, isAny(smp.ErrTimeout, context.DeadlineExceeded)},
	{"98", "Stopped before the end.", "Start the board again when the line is ready.", Retry, isErr(context.Canceled)},
	{"99", "Something unforeseen happened.", "Retry once, then call the line's engineer.", Retry, func(error) bool { return true }},
}

// fault marks an error of this package with the number it has in the
// catalogue.
type fault struct {
	code string
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// rule sends one kind of error at one step (or at any, "") to a code.
type rule struct {
	step string
	is   func(error) bool
	code string
}

// finalWrite is a ledger that takes nothing more until it was opened again.
func finalWrite(err error) bool {
	var w *ledger.WriteError
	return errors.As(err, &w) && w.Final
}

// rules are tried in order; what none of them knows falls to common.
var rules = []rule{
	{"", finalWrite, "F-RECORD-05"},
	{"", isA[*ledger.WriteError], "F-RECORD-01"},
	{"", isA[*ledger.SealError], "F-RECORD-06"},
	{"CONNECT", isErr(enroll.ErrNoAgent), "F-CONNECT-02"},
	{"FLASH", isErr(flasher.ErrNoImages), "F-FLASH-01"},
	{"FLASH", isErr(flasher.ErrBoard), "F-FLASH-03"},
	{"FLASH", isErr(flasher.ErrTooLarge), "F-FLASH-04"},
	{"FLASH", isErr(flasher.ErrRefused), "F-FLASH-05"},
	{"FLASH", isErr(flasher.ErrStalled), "F-FLASH-06"},
	{"FLASH", isErr(flasher.ErrStored), "F-FLASH-07"},
	{"FLASH", isErr(flasher.ErrNotStarted), "F-FLASH-08"},
	{"FLASH", isErr(enroll.ErrNotReset), "F-FLASH-09"},
	{"FLASH", isErr(flasher.ErrNotConfirmed), "F-FLASH-10"},
	{"KEY", isClaim("serial"), "F-CONNECT-09"},
	{"KEY", isClaim("spki"), "F-KEY-01"},
	{"KEY", isRC(enroll.RCEntropy), "F-KEY-02"},
	{"ISSUE", isRefusal(issuer.ReasonBoardMax), "F-ISSUE-10"},
	{"ISSUE", isRefusal(issuer.ReasonBoardRoot), "F-CONNECT-12"},
	{"ISSUE", isRefusal(issuer.ReasonBoardVerify), "F-ISSUE-06"},
	// ISSUE asks for a request too, when what an earlier run left is too old.
	{"", isRefusal(issuer.ReasonSignature), "F-REQUEST-01"},
	{"", isRefusal(issuer.ReasonNonce), "F-REQUEST-02"},
	{"", isRefusal(issuer.ReasonIdentity), "F-REQUEST-03"},
	{"", isRefusal(issuer.ReasonSPKI), "F-REQUEST-04"},
	{"", isRefusal(issuer.ReasonExtraAttribute), "F-REQUEST-05"},
	{"", isRefusal(issuer.ReasonWeakKey), "F-REQUEST-06"},
	{"", isRefusal(issuer.ReasonAlgorithm), "F-REQUEST-09"},
	{"", isRefusal(issuer.ReasonMissingAttribute), "F-REQUEST-10"},
	{"", isRefusal(issuer.ReasonDoubledAttribute), "F-REQUEST-11"},
	{"", isRefusal(issuer.ReasonStringType), "F-REQUEST-12"},
	{"", isRefusal(issuer.ReasonSize), "F-REQUEST-13"},
	{"", isA[*issuer.Refusal], "F-REQUEST-07"},
	{"ISSUE", isErr(issuer.ErrWindow), "F-ISSUE-08"},
	{"ISSUE", isErr(tpm.ErrLost), "F-ISSUE-01"},
	{"ISSUE", isErr(context.DeadlineExceeded), "F-ISSUE-01"},
	{"ISSUE", isErr(tpm.ErrPIN), "F-ISSUE-02"},
	{"ISSUE", isA[*tpm.LockoutError], "F-ISSUE-03"},
	{"INSTALL", isRC(enroll.RCChain), "F-INSTALL-01"},
	{"INSTALL", isRC(enroll.RCUntrusted), "F-INSTALL-01"},
	{"INSTALL", isRC(enroll.RCAlgorithm), "F-INSTALL-01"},
	{"INSTALL", isRC(enroll.RCKeyMismatch), "F-INSTALL-02"},
	{"INSTALL", isRC(enroll.RCStorage), "F-INSTALL-03"},
	{"PROVE", isErr(enroll.ErrProof), "F-PROVE-01"},
	{"PROVE", isErr(enroll.ErrReadBack), "F-PROVE-02"},
	{"PROVE", isRC(enroll.RCWrongState), "F-PROVE-03"},
	{"REHEARSE", isErr(enroll.ErrTarget), "F-REHEARSE-02"},
	{"REHEARSE", isErr(enroll.ErrRehearsal), "F-REHEARSE-01"},
	{"RECEIPT", isErr(enroll.ErrNotReset), "F-RECEIPT-01"},
	{"RECEIPT", isErr(enroll.ErrProof), "F-RECEIPT-03"},
	{"RECORD", isAny(tpm.ErrLost, context.DeadlineExceeded), "F-RECORD-02"},
}

// classify is the one place where an error becomes a Fault.
func classify(step string, err error) *Fault {
	var own *fault
	if errors.As(err, &own) && !errors.Is(err, context.Canceled) {
		return fromCatalogue(own.code, err)
	}
	for _, r := range rules {
		if (r.step == "" || r.step == step) && r.is(err) {
			return fromCatalogue(r.code, err)
		}
	}
	for _, c := range common {
		if c.is(err) {
			return &Fault{"F-" + step + "-" + c.nn, step, c.sentence, c.remedy, c.action, err}
		}
	}
	panic("unreachable: the last common fault takes every error")
}

// fromCatalogue fills a catalogued fault with its cause.
func fromCatalogue(code string, err error) *Fault {
	for _, f := range catalogue {
		if f.Code == code {
			f.Err = err
			f.Remedy = cmp.Or(remedyOf(err), f.Remedy)
			return &f
		}
	}
	return &Fault{code, "", "Something unforeseen happened.", "Call the line's engineer.", StopStation, err}
}

// remedyOf is what an error knows that the catalogue cannot: the command that
// lets this user open this port, say. "" when it knows nothing.
func remedyOf(err error) string {
	var e interface{ Remedy() string }
	if errors.As(err, &e) {
		return e.Remedy()
	}
	return ""
}

func isErr(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isAny(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

func isA[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func isRC(rc int) func(error) bool {
	return func(err error) bool {
		var r *smp.RCError
		return errors.As(err, &r) && r.Group >= 0 && r.RC == rc
	}
}

func isRefusal(reason issuer.Reason) func(error) bool {
	return func(err error) bool {
		var r *issuer.Refusal
		return errors.As(err, &r) && r.Reason == reason
	}
}

func isClaim(kind string) func(error) bool {
	return func(err error) bool {
		var c *ledger.ClaimError
		return errors.As(err, &c) && c.Claim.Kind == kind
	}
}
