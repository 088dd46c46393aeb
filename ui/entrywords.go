// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"fmt"
	"strings"

	"provisioning.example/station/internal/provision"
	"provisioning.example/station/internal/record"
)

// entryWords says in one line what an entry records, and how it is meant.
func entryWords(b record.Body) (string, tone) {
	switch b.Kind {
	case record.KindEnd:
		return endWords(b)
	case record.KindBegun:
		text := "Attempt began"
		if b.Attempt > 0 {
			text = fmt.Sprintf("Attempt %d began", b.Attempt)
		}
		if b.Slot > 0 {
			text += fmt.Sprintf(" in slot %d", b.Slot)
		}
		return text, normal
	case record.KindKey:
		if !b.Made {
			return "Board showed its key", normal
		}
		return "Board made its key", normal
	case record.KindRevoked:
		return "Certificate revoked: " + b.Reason, bad
	case record.KindScrap:
		return "Scrapped: " + b.Reason, bad
	case record.KindRework:
		return "Given to rework: " + b.Reason, doubtful
	case record.KindCorrection:
		return correctionWords(b), doubtful
	}
	return plainWords(b), normal
}

func endWords(b record.Body) (string, tone) {
	switch b.Outcome {
	case record.Passed:
		return "Passed", good
	case record.Failed:
		return "Failed: " + b.Fault, bad
	case record.Error:
		return "Spoiled by the station: " + b.Fault, bad
	}
	return "Stopped: " + cmp.Or(b.Reason, b.Fault), bad
}

func correctionWords(b record.Body) string {
	if b.Old == "" {
		return fmt.Sprintf("Entry %s: %s is %s", grouped(b.EntrySeq), b.What, b.New)
	}
	return fmt.Sprintf("Entry %s: %s is %s, not %s", grouped(b.EntrySeq), b.What, b.New, b.Old)
}

// kindWords is what the other kinds of entries record.
var kindWords = map[string]string{
	record.KindStart: "Station started", record.KindStop: "Station stopped", record.KindLogin: "Signed in", record.KindLogout: "Signed out",
	record.KindConfig: "Setting changed", record.KindOrder: "Order", record.KindCA: "Intermediate",
	record.KindIssuing: "Certificate about to be signed", record.KindIssued: "Certificate issued",
	record.KindProven: "Chain stored, key proven, TLS rehearsed", record.KindRenewed: "Certificate renewed",
	record.KindCRL: "Revocation list signed", record.KindCAVerify: "Proof of ownership for a cloud signed",
	record.KindSignoff: "Signed off", record.KindSeal: "Sealed by the TPM's counter", record.KindClock: "Clock",
	record.KindSelfcheck: "Station examined itself", record.KindLabel: "Label", record.KindExport: "Exported",
	record.KindImport: "Taken in", record.KindBackup: "Backup made", record.KindRestored: "Restored from a backup",
	record.KindHandover: "Handed over to a new TPM",
}

func plainWords(b record.Body) string {
	parts := []string{cmp.Or(kindWords[b.Kind], b.Kind)}
	add := func(text string) {
		if text != "" {
			parts = append(parts, text)
		}
	}
	switch b.Kind {
	case record.KindSignoff:
		add(fmt.Sprintf("entries %s to %s", grouped(b.From), grouped(b.To)))
		add(b.Meaning)
	case record.KindOrder:
		add(b.Order + " " + b.Action)
	case record.KindCA, record.KindLabel:
		add(b.Action)
	case record.KindExport:
		add("as " + b.Format)
	case record.KindConfig, record.KindClock, record.KindSelfcheck, record.KindImport:
		add(b.What)
	}
	return strings.Join(parts, ": ")
}

// faultFacts is a recorded fault in full.
func faultFacts(b record.Body) (out []fact) {
	if b.Fault == "" {
		return nil
	}
	out = append(out, fact{label: "Fault", text: b.Fault, tone: bad, style: mono})
	if f, known := provision.FaultNamed(b.Fault); known {
		out = append(out, fact{label: "What happened", text: f.Sentence}, fact{label: "What to do", text: f.Remedy})
	}
	if b.Detail != "" {
		out = append(out, fact{label: "What was seen", text: b.Detail})
	}
	return out
}
