// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"provisioning.example/station/internal/audit"
	"provisioning.example/station/internal/authority"
)

// anchors is what the ledger is judged by: the certificates of this epoch and
// of those before. root names the auditor's own root certificate; "" stands for
// the newest installed one.
func (h *home) anchors(root string) (a audit.Anchors, err error) {
	if root != "" {
		if a.Root, err = readCertificate(root); err != nil {
			return a, usage(err, "name a PEM certificate with --root")
		}
	}
	for epoch := h.cfg.Epoch; epoch >= 1; epoch-- {
		dir := h.path("ca")
		if epoch < h.cfg.Epoch {
			dir = h.pastCA(epoch)
		}
		in, err := authority.Load(dir)
		if errors.Is(err, authority.ErrNotInstalled) {
			continue
		}
		if err != nil {
			return a, err
		}
		if a.Root == nil {
			a.Root = in.Root()
		}
		a.Issuers = append(a.Issuers, in.Chain[:len(in.Chain)-1]...)
		retired, err := authority.Retired(dir)
		if err != nil {
			return a, err
		}
		for _, r := range retired {
			a.Issuers = append(a.Issuers, r.Chain[:len(r.Chain)-1]...)
		}
		a.Lists = append(a.Lists, in.CRLs...)
		if in.Checkpoint == nil {
			continue
		}
		// A key that another root certified proves nothing here, and the
		// verdict says so. The auditor's own root must have certified this
		// epoch's.
		if epoch == h.cfg.Epoch || in.Checkpoint.CheckSignatureFrom(a.Root) == nil {
			a.Certificates = append(a.Certificates, in.Checkpoint)
		}
	}
	return a, nil
}
