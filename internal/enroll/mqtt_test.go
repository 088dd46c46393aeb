// SPDX-License-Identifier: Apache-2.0

package enroll_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"provisioning.example/station/internal/enroll"
	"provisioning.example/station/internal/virtual"
)

// The packets a broker exchanges with the board "unit 1", byte for byte.
const (
	connectUnit1 = "1012" + "00044d515454" + "04" + "02" + "001e" + "0006756e69742031"
	disconnect   = "e000"
)

// A broker is a TLS server that answers a CONNECT with some bytes.
type broker struct {
	answer  string // hex
	patient bool   // it then waits for the client to end the connection
	mute    bool   // it reads no CONNECT
}

// serve talks to one client and returns what the client sent, in hex.
func (s broker) serve(conn net.Conn) (string, error) {
	defer conn.Close()
	connect := make([]byte, len(connectUnit1)/2)
	if s.mute {
		return "", conn.(*tls.Conn).Handshake()
	}
	if _, err := io.ReadFull(conn, connect); err != nil {
		return "", err
	}
	answer, err := hex.DecodeString(s.answer)
	if err != nil {
		return "", err
	}
	if _, err := conn.Write(answer); err != nil {
		return "", err
	}
	if !s.patient {
		return hex.EncodeToString(connect), nil
	}
	rest, err := io.ReadAll(conn)
	return hex.EncodeToString(append(connect, rest...)), err
}

// brokerConfig is the TLS side of a broker: it demands client certificates
// under the board's root.
func brokerConfig(t *testing.T, b *bench) (*tls.Config, *x509.CertPool) {
	t.Helper()
	ca, key := newAuthority(t), newKey(t)
	cert := certify(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "broker"}, DNSNames: []string{"broker.example"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.inter, key.Public(), ca.interKey)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: b.ca.pool(),
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw, ca.inter.Raw}, PrivateKey: key}},
	}, ca.pool()
}

// loopback is a pair of connected TCP sockets: unlike a pipe they hold what was
// sent to somebody who does not read, and tell of a reset as a network does.
func loopback(t *testing.T) (client, server net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestRehearseMQTT: only a CONNACK that accepts the client counts, and each
// other end has its own words.
func TestRehearseMQTT(t *testing.T) {
	b := newBench(t, virtual.Config{})
	defer b.close()
	chain := b.installed(t.Context())
	reject := func(c *tls.Config) { c.ClientCAs = newAuthority(t).pool() }
	unasked := func(c *tls.Config) { c.ClientAuth = tls.NoClientCert }
	for name, c := range map[string]struct {
		broker broker
		edit   func(*tls.Config)
		want   error
		says   string
	}{
		"accepts":                       {broker: broker{answer: "20020000", patient: true}},
		"wrong version":                 {broker{answer: "20020001"}, nil, enroll.ErrRehearsal, "return code 1: it does not speak MQTT 3.1.1"},
		"client id":                     {broker{answer: "20020002"}, nil, enroll.ErrRehearsal, "return code 2: the client id is not allowed"},
		"unavailable":                   {broker{answer: "20020003"}, nil, enroll.ErrRehearsal, "return code 3: the MQTT service is unavailable"},
		"password":                      {broker{answer: "20020004"}, nil, enroll.ErrRehearsal, "return code 4: user name or password is wrong"},
		"not authorised":                {broker{answer: "20020005"}, nil, enroll.ErrRehearsal, "return code 5: the client is not authorised"},
		"unknown code":                  {broker{answer: "20020006"}, nil, enroll.ErrRehearsal, "return code 6, which MQTT 3.1.1 does not know"},
		"a session that cannot be":      {broker{answer: "20020100"}, nil, enroll.ErrRehearsal, "makes no sense: flags 01"},
		"a CONNACK of MQTT 5":           {broker{answer: "2003008400"}, nil, enroll.ErrRehearsal, "20 03 00 84 is no CONNACK"},
		"HTTP":                          {broker{answer: hex.EncodeToString([]byte("HTTP/1.1 400 Bad Request\r\n"))}, nil, enroll.ErrRehearsal, "does not speak MQTT 3.1.1"},
		"closes":                        {broker{}, nil, enroll.ErrRehearsal, "ends the connection and does not answer"},
		"closes in the CONNACK":         {broker{answer: "200200"}, nil, enroll.ErrRehearsal, "ends the connection and does not answer"},
		"closes before the CONNECT":     {broker{mute: true}, nil, enroll.ErrRehearsal, "ends the connection and does not answer"},
		"an alert for the certificate":  {broker{}, reject, enroll.ErrRehearsal, "the broker refuses the certificate: remote error: tls: "},
		"does not ask for certificates": {broker{answer: "20020000"}, unasked, enroll.ErrTarget, "did not ask for a client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			config, roots := brokerConfig(t, b)
			if c.edit != nil {
				c.edit(config)
			}
			client, server := loopback(t)
			r := b.rehearsal(chain)
			r.Target, r.ServerRoots = "mqtt://broker.example:8883", roots
			r.Through(client)
			type talk struct {
				heard string
				err   error
			}
			done := make(chan talk, 1)
			go func() {
				heard, err := c.broker.serve(tls.Server(server, config))
				done <- talk{heard, err}
			}()
			got, err := b.session.Rehearse(t.Context(), r)
			heard := <-done
			if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want %v: %q (the broker: %v)", err, c.want, c.says, heard.err)
			}
			if c.want != nil {
				return
			}
			if got.Version != tls.VersionTLS13 || got.Hash == [32]byte{} {
				t.Errorf("transcript %+v", got)
			}
			if heard.err != nil || heard.heard != connectUnit1+disconnect {
				t.Errorf("the broker heard %s, %v", heard.heard, heard.err)
			}
		})
	}
}

// TestRehearseMQTTSilence: a broker that says nothing is given up at the limit.
func TestRehearseMQTTSilence(t *testing.T) {
	for name, answer := range map[string]string{"nothing": "", "half a CONNACK": "2002"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, virtual.Config{}, func(t *testing.T, b *bench) {
				config, roots := brokerConfig(t, b)
				config.SessionTicketsDisabled = true // nobody reads them out of a pipe
				r := b.rehearsal(b.installed(t.Context()))
				client, server := net.Pipe()
				r.Target, r.ServerRoots = "mqtt://broker.example:8883", roots
				r.Through(client)
				done := make(chan error, 1)
				go func() {
					_, err := broker{answer: answer, patient: true}.serve(tls.Server(server, config))
					done <- err
				}()
				began := time.Now()
				_, err := b.session.Rehearse(t.Context(), r)
				if !errors.Is(err, enroll.ErrRehearsal) || !strings.Contains(err.Error(), "does not answer CONNECT within 15s") {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took < enroll.ConnackLimit || took > 2*enroll.ConnackLimit {
					t.Errorf("given up after %v", took)
				}
				if err := <-done; err != nil {
					t.Errorf("the broker: %v", err)
				}
			})
		})
	}
}

// TestConnect fixes the packet by the standard's figures 3.2 to 3.6.
func TestConnect(t *testing.T) {
	got, err := enroll.AppendConnect([]byte{0xff}, "unit 1")
	if err != nil || hex.EncodeToString(got) != "ff"+connectUnit1 {
		t.Errorf("CONNECT %x, %v", got, err)
	}
	for n, length := range map[int]string{115: "7f", 116: "8001", 300: "b802", 16371: "ff7f", 16372: "808001", 65535: "8b8004"} {
		got, err := enroll.AppendConnect(nil, strings.Repeat("a", n))
		if want := "10" + length + "0004"; err != nil || !strings.HasPrefix(hex.EncodeToString(got), want) || len(got) != 1+len(length)/2+12+n {
			t.Errorf("a client id of %d bytes: %d bytes of CONNECT, %.6x, %v", n, len(got), got, err)
		}
	}
	for _, id := range []string{"", "a\x00b", "a\nb", "a\u0085b", "\xff", strings.Repeat("a", 65536)} {
		if got, err := enroll.AppendConnect(nil, id); err == nil {
			t.Errorf("client id %.20q: %x", id, got)
		}
	}
}

func TestCheckTarget(t *testing.T) {
	for _, s := range []string{"broker.example:8883", "mqtt://broker.example:8883", "mqtt://127.0.0.1:1", "[::1]:65535", "mqtt://[fe80::1]:8883", "a_b-c:1"} {
		if err := enroll.CheckTarget(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "broker", "mqtt://", "mqtt://broker", ":8883", "mqtt://:8883", "broker:0", "broker:65536", "broker:-1", "broker:+1", "broker:mqtt",
		"mqtts://broker:8883", "https://broker:443", "mqtt://user@broker:8883", "mqtt://broker:8883/", "::1:8883", "a b:1", "mqtt://mqtt://broker:1", "broker:8883\n",
	} {
		if err := enroll.CheckTarget(s); err == nil {
			t.Errorf("%q is taken for a target", s)
		}
	}
}

// FuzzConnack: whatever a server says, four bytes at most are read, and only
// one answer accepts.
func FuzzConnack(f *testing.F) {
	for _, seed := range []string{
		"20020000", "2002000030", "20020100", "20020001", "20020005", "200200ff", "2002", "", "2003008400",
		"2082800000", "30020000", "15030300020230", "485454502f312e31",
	} {
		raw, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		r := bytes.NewReader(said)
		err := enroll.ReadConnack(r)
		if read := len(said) - r.Len(); read > 4 {
			t.Errorf("%d bytes were read", read)
		}
		if good := bytes.HasPrefix(said, []byte{0x20, 2, 0, 0}); good != (err == nil) {
			t.Errorf("%x: %v", said, err)
		}
		if err != nil && len(err.Error()) > 120 {
			t.Errorf("%x: %d bytes of words", said, len(err.Error()))
		}
	})
}
