// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"context"
	"crypto/sha256"
	"errors"

	"provisioning.example/station/internal/smp"
)

// maxSignature bounds a signature in an answer, in bytes: RSA with 8192 bits.
const maxSignature = 1024

// Keygen has the board make a key of algorithm alg, unless it has one already.
// token names the wish: the same token again gets the same key, also after a
// power cut. replace gives up a key that was made under another token, and in
// state Installed all objects. spki is the SHA-256 of the key's
// SubjectPublicKeyInfo; isNew tells whether it was made under this token.
func (s *Session) Keygen(ctx context.Context, alg string, token [32]byte, replace bool) (spki [32]byte, isNew bool, err error) {
	body := struct {
		Alg     string   `cbor:"alg"`
		Token   [32]byte `cbor:"token"`
		Replace bool     `cbor:"replace,omitempty"`
	}{alg, token, replace}
	var answer struct {
		SPKI *[32]byte `cbor:"spki"`
		New  *bool     `cbor:"new"`
	}
	// If the answer is lost, the board may have another key than before.
	before := s.spki
	if replace {
		s.spki = nil
	}
	if err := s.do(ctx, cmdKeygen, true, keyTimeout, body, &answer); err != nil {
		return [32]byte{}, false, s.named("make a key", err)
	}
	if answer.SPKI == nil || answer.New == nil {
		return [32]byte{}, false, senseless("keygen has no spki or new")
	}
	if before != nil && !replace && *before != *answer.SPKI {
		return [32]byte{}, false, ErrOtherBoard
	}
	if s.uid != nil {
		s.spki = answer.SPKI
	}
	return *answer.SPKI, *answer.New, nil
}

// CSR has the board sign a certification request (PKCS #10, DER) for common
// name cn and, unless sn is "", serialNumber sn, fresh by nonce. What it says
// is still to be checked; only its size and digest are.
func (s *Session) CSR(ctx context.Context, cn, sn string, nonce [32]byte) ([]byte, error) {
	body := struct {
		CN    string   `cbor:"cn"`
		SN    string   `cbor:"sn,omitempty"`
		Nonce [32]byte `cbor:"nonce"`
	}{cn, sn, nonce}
	for try := 0; ; try++ {
		var answer struct {
			Len *uint64   `cbor:"len"`
			SHA *[32]byte `cbor:"sha"`
		}
		if err := s.do(ctx, cmdCSR, true, keyTimeout, body, &answer); err != nil {
			return nil, s.named("ask for the request", err)
		}
		if answer.Len == nil || answer.SHA == nil {
			return nil, senseless("csr has no len or sha")
		}
		if *answer.Len == 0 || *answer.Len > maxObject {
			return nil, senseless("a request of %d bytes", *answer.Len)
		}
		der, err := s.Get(ctx, "csr")
		switch {
		case s.rc(err) == RCWrongState && try == 0:
			continue // the request was in RAM, and the board has restarted
		case err != nil:
			return nil, err
		case uint64(len(der)) != *answer.Len:
			return nil, senseless("a request of %d bytes, %d were announced", len(der), *answer.Len)
		case sha256.Sum256(der) != *answer.SHA:
			return nil, senseless("the request reads with another digest than announced")
		}
		return der, nil
	}
}

// Commit has the board check and store, all at once, the objects with these
// digests: chain, and anchors and rework unless nil. Each was Put before, or is
// already stored. What the board lost or finds damaged is put once more.
func (s *Session) Commit(ctx context.Context, chain [32]byte, anchors, rework *[32]byte) error {
	body := struct {
		Chain   [32]byte  `cbor:"chain"`
		Anchors *[32]byte `cbor:"anchors,omitempty"`
		Rework  *[32]byte `cbor:"rework,omitempty"`
	}{chain, anchors, rework}
	err := s.expectState(ctx, cmdCommit, body, Installed)
	again := false
	switch s.rc(err) {
	case RCDigest, RCOffset, RCWrongState: // damaged, incomplete, not there
	default:
		return s.named("store the chain", err)
	}
	for _, o := range []struct {
		name   string
		digest *[32]byte
	}{{"chain", &chain}, {"anchors", anchors}, {"rework", rework}} {
		data, ok := s.sent[o.name]
		if !ok || o.digest == nil || sha256.Sum256(data) != *o.digest {
			continue
		}
		again = true
		if err := s.Put(ctx, o.name, data); err != nil {
			return err
		}
	}
	if !again {
		return s.named("store the chain", err)
	}
	s.log.Info("the board wanted its objects again", "error", err)
	return s.named("store the chain", s.expectState(ctx, cmdCommit, body, Installed))
}

// Prove returns the board's signature over what its storage holds: see Proof.
func (s *Session) Prove(ctx context.Context, nonce [32]byte) ([]byte, error) {
	return s.signature(ctx, cmdProve, struct {
		Nonce [32]byte `cbor:"nonce"`
	}{nonce}, "ask for a proof")
}

// TLSSign returns the board's signature over tbs, the content of a TLS 1.3
// client CertificateVerify (RFC 8446, section 4.4.3); boards refuse all else.
func (s *Session) TLSSign(ctx context.Context, tbs []byte) ([]byte, error) {
	return s.signature(ctx, cmdTLSSign, struct {
		TBS []byte `cbor:"tbs"`
	}{tbs}, "ask for a TLS signature")
}

func (s *Session) signature(ctx context.Context, cmd uint8, body any, what string) ([]byte, error) {
	var answer struct {
		Sig []byte `cbor:"sig"`
	}
	if err := s.do(ctx, cmd, true, keyTimeout, body, &answer); err != nil {
		return nil, s.named(what, err)
	}
	if len(answer.Sig) == 0 || len(answer.Sig) > maxSignature {
		return nil, senseless("a signature of %d bytes", len(answer.Sig))
	}
	return answer.Sig, nil
}

// Lock locks the board, if chain is what it stores.
func (s *Session) Lock(ctx context.Context, chain [32]byte) error {
	body := struct {
		Chain [32]byte `cbor:"chain"`
	}{chain}
	return s.named("lock the board", s.expectState(ctx, cmdLock, body, Locked))
}

// Challenge returns the nonce that a rework key must sign: see ReworkMessage.
func (s *Session) Challenge(ctx context.Context) ([32]byte, error) {
	var answer struct {
		Nonce *[32]byte `cbor:"nonce"`
	}
	if err := s.do(ctx, cmdChallenge, false, otherTimeout, nil, &answer); err != nil {
		return [32]byte{}, s.named("ask for a challenge", err)
	}
	if answer.Nonce == nil {
		return [32]byte{}, senseless("challenge has no nonce")
	}
	return *answer.Nonce, nil
}

// Rework erases key, token and objects of a locked board: sig is by the rework
// key that stands at place key (0 or 1) in its rework object. A lost answer is
// no loss: the board knows the same signature again, and a board that shows
// itself blank was unlocked.
func (s *Session) Rework(ctx context.Context, key int, sig []byte) error {
	body := struct {
		Key int    `cbor:"key"`
		Sig []byte `cbor:"sig"`
	}{key, sig}
	err := s.expectState(ctx, cmdRework, body, Blank)
	if errors.Is(err, smp.ErrTimeout) || s.rc(err) == RCWrongState {
		if s.blank(ctx) {
			err = nil
		}
	}
	if err != nil {
		return s.named("unlock the board for rework", err)
	}
	s.spki = nil
	s.sent = map[string][]byte{}
	return nil
}

// blank asks whether this board has become blank; then its key is gone.
func (s *Session) blank(ctx context.Context) bool {
	key := s.spki
	s.spki = nil
	info, err := s.WaitInfo(ctx)
	if err == nil && info.State == Blank {
		return true
	}
	s.spki = key
	return false
}

// expectState asks a command whose answer is a state.
func (s *Session) expectState(ctx context.Context, cmd uint8, body any, want State) error {
	var answer struct {
		State *uint64 `cbor:"state"`
	}
	if err := s.do(ctx, cmd, true, keyTimeout, body, &answer); err != nil {
		return err
	}
	if answer.State == nil || *answer.State != uint64(want) {
		return senseless("the answer does not carry state %s", want)
	}
	return nil
}
