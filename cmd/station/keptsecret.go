// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
)

// keptSecret holds a secret for the length of a session in a page of its own:
// not written to swap, not in a core dump, and zeros afterwards. Where the
// system does not grant a page without swap (RLIMIT_MEMLOCK), it goes without.
// Copies that live for the length of one command are made when the secret is
// used; they are wiped, as far as the runtime allows.
type keptSecret struct {
	page   []byte
	secret []byte // within page
}

// keepSecret moves a secret: the slice given is zeros afterwards.
func keepSecret(secret []byte) (*keptSecret, error) {
	page, err := newSecretPage()
	if err != nil {
		return nil, fmt.Errorf("keep a secret: %w", err)
	}
	if len(secret) > len(page) {
		return nil, errors.Join(fmt.Errorf("a secret of %d bytes", len(secret)), freeSecretPage(page))
	}
	k := &keptSecret{page, page[:len(secret)]}
	copy(k.secret, secret)
	clear(secret)
	return k, nil
}

var errWiped = errors.New("the session has ended")

// get lends the secret out: it belongs to k.
func (k *keptSecret) get() ([]byte, error) {
	if k.secret == nil {
		return nil, errWiped
	}
	return k.secret, nil
}

// wipe ends it. Nobody may hold what get lent out.
func (k *keptSecret) wipe() {
	if k == nil || k.page == nil {
		return
	}
	clear(k.page)
	_ = freeSecretPage(k.page) // the system ends what it lent; nothing secret is left in it
	k.page, k.secret = nil, nil
}
