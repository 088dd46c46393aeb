// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
)

// A Rehearsal says which handshake to make.
type Rehearsal struct {
	Chain [][]byte       // the board's certificates, DER, leaf first, root left out
	Roots *x509.CertPool // what the in-process server trusts for its clients
	Alg   string         // of the board's key

	Target      string         // a real server, see CheckTarget; "": the in-process server
	ServerRoots *x509.CertPool // what the client trusts for Target; nil: the system's roots

	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer's
}

// A Transcript is what remains of a handshake that succeeded.
type Transcript struct {
	Hash        [32]byte // SHA-256 of the CertificateVerify content that the board signed
	Version     uint16   // as in crypto/tls: always TLS 1.3
	CipherSuite uint16
}

// Rehearse makes a real TLS 1.3 handshake with mutual authentication in which
// the board's key signs as the client: crypto/tls hands over the content of the
// CertificateVerify (RFC 8446, section 4.4.3), the board signs it, the server
// verifies it under the chain's leaf and the chain under its roots. An MQTT
// broker must also accept the client: its id is the leaf's common name, which is
// what brokers compare it with.
//
// Errors: ErrRehearsal when the server does not accept chain and signature, or
// the broker not the client, ErrTarget when Target cannot be reached or never asks for a client's
// certificate, and those of TLSSign.
func (s *Session) Rehearse(ctx context.Context, r Rehearsal) (Transcript, error) {
	return rehearse(ctx, r, s.TLSSign)
}

// A signFunc signs the content of a CertificateVerify.
type signFunc func(ctx context.Context, content []byte) ([]byte, error)

func rehearse(ctx context.Context, r Rehearsal, sign signFunc) (Transcript, error) {
	key, err := newBoardKey(ctx, r, sign)
	if err != nil {
		return Transcript{}, fmt.Errorf("%w: %w", ErrRehearsal, err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Not Certificates: a client may leave those out that do not suit the
		// server's list of authorities, and then nothing would be rehearsed.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return key.certificate(), nil },
	}
	var state tls.ConnectionState
	if r.Target == "" {
		state, err = inProcess(ctx, r, config)
	} else {
		state, err = overNetwork(ctx, r, config, key)
	}
	switch {
	case key.err != nil:
		return Transcript{}, fmt.Errorf("rehearse TLS: %w", key.err) // the board's failure, not the handshake's
	case ctx.Err() != nil:
		return Transcript{}, fmt.Errorf("rehearse TLS: %w", context.Cause(ctx))
	case err != nil && key.content == nil && r.Target != "":
		return Transcript{}, fmt.Errorf("%w: %s: %w", ErrTarget, r.Target, err)
	case err != nil:
		return Transcript{}, fmt.Errorf("%w: %w", ErrRehearsal, err)
	case key.content == nil:
		return Transcript{}, fmt.Errorf("%w: %s did not ask for a client certificate", ErrTarget, r.Target)
	}
	return Transcript{Hash: sha256.Sum256(key.content), Version: state.Version, CipherSuite: state.CipherSuite}, nil
}

// A boardKey is the board's private key as crypto/tls sees it.
type boardKey struct {
	ctx    context.Context // of the rehearsal: crypto.MessageSigner has no place for it
	chain  [][]byte
	leaf   *x509.Certificate
	scheme tls.SignatureScheme
	sign   signFunc

	content []byte // what the board was asked to sign
	err     error  // why it did not
}

// schemes are the TLS 1.3 signature schemes of the protocol's algorithms.
var schemes = map[string]tls.SignatureScheme{
	"ES256": tls.ECDSAWithP256AndSHA256,
	"ES384": tls.ECDSAWithP384AndSHA384,
	"EdDSA": tls.Ed25519,
	"RS256": tls.PSSWithSHA256,
}

func newBoardKey(ctx context.Context, r Rehearsal, sign signFunc) (*boardKey, error) {
	scheme, ok := schemes[r.Alg]
	if !ok {
		return nil, fmt.Errorf("there is no algorithm %q", r.Alg)
	}
	if len(r.Chain) == 0 {
		return nil, errors.New("the chain is empty")
	}
	leaf, err := x509.ParseCertificate(r.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("the leaf does not parse: %w", err)
	}
	return &boardKey{ctx: ctx, chain: r.Chain, leaf: leaf, scheme: scheme, sign: sign}, nil
}

func (k *boardKey) certificate() *tls.Certificate {
	return &tls.Certificate{
		Certificate: k.chain, Leaf: k.leaf, PrivateKey: k,
		SupportedSignatureAlgorithms: []tls.SignatureScheme{k.scheme},
	}
}

// Public implements crypto.Signer.
func (k *boardKey) Public() crypto.PublicKey { return k.leaf.PublicKey }

// Sign implements crypto.Signer, but a board signs no bare digests.
func (k *boardKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("a board signs the whole content of a CertificateVerify, not its digest")
}

// SignMessage implements crypto.MessageSigner: the board signs.
func (k *boardKey) SignMessage(_ io.Reader, content []byte, _ crypto.SignerOpts) ([]byte, error) {
	k.content = bytes.Clone(content)
	sig, err := k.sign(k.ctx, content)
	k.err = err
	return sig, err
}

// inProcess makes the handshake with a server in this process. It counts only
// when the server verified the board's leaf, and has shown so by a secret that
// went down and up again.
func inProcess(ctx context.Context, r Rehearsal, config *tls.Config) (tls.ConnectionState, error) {
	name, cert, ca, err := throwAwayServer()
	if err != nil {
		return tls.ConnectionState{}, err
	}
	config.ServerName, config.RootCAs = name, ca
	up, down := memPipe()
	defer up.Close()
	stop := context.AfterFunc(ctx, func() { up.Close() })
	defer stop()

	verdict := make(chan error, 1)
	go func() {
		defer down.Close()
		verdict <- serveOnce(ctx, tls.Server(down, &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: r.Roots, SessionTicketsDisabled: true,
		}), r.Chain[0])
	}()
	client := tls.Client(up, config)
	clientErr := echo(ctx, client)
	if clientErr != nil {
		up.Close()
	}
	if err := <-verdict; err != nil {
		return tls.ConnectionState{}, fmt.Errorf("the server refuses: %w", err)
	}
	if clientErr != nil {
		return tls.ConnectionState{}, clientErr
	}
	return client.ConnectionState(), nil
}

// serveOnce is the server's part: it verifies the client, whose leaf must be
// the board's, and has a secret echoed.
func serveOnce(ctx context.Context, conn *tls.Conn, leaf []byte) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	state := conn.ConnectionState()
	if len(state.VerifiedChains) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, leaf) {
		return errors.New("the verified certificate is not the board's")
	}
	var secret, back [32]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return err
	}
	if _, err := conn.Write(secret[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, back[:]); err != nil {
		return err
	}
	if back != secret {
		return errors.New("the connection does not carry data")
	}
	return conn.Close()
}

// echo is the client's part. In TLS 1.3 the client learns only by reading
// whether the server accepted its certificate.
func echo(ctx context.Context, conn *tls.Conn) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	var secret [32]byte
	if _, err := io.ReadFull(conn, secret[:]); err != nil {
		return err
	}
	_, err := conn.Write(secret[:])
	return err
}

// overNetwork makes the handshake with a real server.
func overNetwork(ctx context.Context, r Rehearsal, config *tls.Config, key *boardKey) (tls.ConnectionState, error) {
	t, err := parseTarget(r.Target)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, targetLimit)
	defer cancel()
	dial := r.dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	plain, err := dial(ctx, "tcp", t.address)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer plain.Close()
	stop := context.AfterFunc(ctx, func() { plain.Close() })
	defer stop()
	tickets := &ticketWatch{}
	config.ServerName, config.RootCAs, config.ClientSessionCache = t.host, r.ServerRoots, tickets
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	switch {
	case key.content == nil: // not asked for its certificate: nothing was rehearsed
	case t.mqtt:
		err = mqttConnect(conn, key.leaf.Subject.CommonName)
		conn.Close() // after DISCONNECT the client closes (MQTT-3.14.4-1)
	default:
		err = accepted(conn, tickets)
	}
	return conn.ConnectionState(), err
}
