// SPDX-License-Identifier: Apache-2.0

package export

import (
	"context"
	"os"

	"provisioning.example/station/internal/record/bundle"
)

// Bundle writes the whole ledger as one file for who judges it elsewhere. Unlike the other exports it is recorded while it is made:
// what the ledger records is the digest of the bundle's manifest, and the proof of that entry is in the bundle.
func Bundle(ctx context.Context, path string, source bundle.Source, head bundle.Head) (Result, error) {
	return whole(path, nil, func(f *os.File) (Result, error) {
		m, err := bundle.Write(ctx, f, source, head)
		if err != nil {
			return Result{}, err
		}
		info, err := f.Stat()
		if err != nil {
			return Result{}, err
		}
		return Result{Rows: m.Entries(), Bytes: info.Size(), SHA256: m.Digest()}, nil
	})
}
