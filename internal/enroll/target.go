// SPDX-License-Identifier: Apache-2.0

package enroll

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// targetLimit bounds a rehearsal over the network, a busy board included.
	targetLimit = 150 * time.Second
	// verdictLimit is how long a real server may take to show what it thinks
	// of the client's certificate.
	verdictLimit = 5 * time.Second
	// verdictBytes is how much a server may say unasked.
	verdictBytes = 64 << 10
)

// A target is a real server to rehearse with.
type target struct {
	mqtt          bool // an MQTT broker, which must also accept the client
	address, host string
}

// mqttScheme is what an MQTT broker's address begins with. TLS is never left
// out, so there is no second scheme that would say it.
const mqttScheme = "mqtt://"

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9.:_-]{1,253}$`)

// CheckTarget tells whether s can be the Target of a Rehearsal: host:port of a
// TLS server, or mqtt://host:port of an MQTT broker behind TLS.
func CheckTarget(s string) error {
	_, err := parseTarget(s)
	return err
}

func parseTarget(s string) (t target, err error) {
	t.address, t.mqtt = strings.CutPrefix(s, mqttScheme)
	host, port, err := net.SplitHostPort(t.address)
	if err != nil {
		return target{}, err
	}
	if !hostPattern.MatchString(host) {
		return target{}, fmt.Errorf("%q is not a host", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return target{}, fmt.Errorf("%q is not a port from 1 to 65535", port)
	}
	t.host = host
	return t, nil
}

// ticketWatch notes that a session ticket came: a server sends none before it
// has verified the client's certificate and Finished (RFC 8446, 4.6.1).
type ticketWatch struct{ came atomic.Bool }

// Get implements tls.ClientSessionCache: no session is ever resumed.
func (w *ticketWatch) Get(string) (*tls.ClientSessionState, bool) { return nil, false }

// Put implements tls.ClientSessionCache.
func (w *ticketWatch) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		w.came.Store(true)
	}
}

// accepted waits for a sign of the server after the client's part of the
// handshake is done: an orderly end, data or a session ticket mean that it
// accepted the certificate, an alert or a broken connection that it did not.
func accepted(conn *tls.Conn, tickets *ticketWatch) error {
	if err := conn.SetDeadline(time.Now().Add(verdictLimit)); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, io.LimitReader(conn, verdictBytes))
	switch {
	case isAlert(err):
		return fmt.Errorf("the server refuses: %w", err)
	case err == nil, n > 0, tickets.came.Load():
		return nil
	}
	return fmt.Errorf("the server gives no sign that it accepted the certificate: %w", err)
}

// isAlert tells whether the other side ended the connection with an alert. In
// TLS over a stream crypto/tls marks it by Op alone: tls.AlertError is for QUIC.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// throwAwayServer returns the certificate of a server made for one handshake
// and the pool with the authority that issued it, whose key is forgotten.
func throwAwayServer() (name string, cert tls.Certificate, roots *x509.CertPool, err error) {
	name = "rehearsal.invalid"
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", cert, nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", cert, nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Throw-away CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caCert, err := selfSigned(ca, caKey)
	if err != nil {
		return "", cert, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, caCert, key.Public(), caKey)
	if err != nil {
		return "", cert, nil, fmt.Errorf("make the rehearsal's server: %w", err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(caCert)
	return name, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots, nil
}

func selfSigned(template *x509.Certificate, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the rehearsal's authority: %w", err)
	}
	return x509.ParseCertificate(der)
}
