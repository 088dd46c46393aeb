// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// A mosquitto is a real MQTT broker on a port of this machine only. It demands
// client certificates and takes their common name for the user's.
type mosquitto struct {
	p       *plant
	log     string
	port    int
	process *exec.Cmd
	ended   chan struct{}
}

// startMosquitto starts a broker that trusts the root in the file clients for
// its clients. It returns when the broker listens.
func (p *plant) startMosquitto(name, clients string, more ...string) *mosquitto {
	p.t.Helper()
	me, err := user.Current()
	if err != nil {
		p.t.Fatal(err)
	}
	m := &mosquitto{p: p, log: p.path(name + ".log"), port: freePort(p.t)}
	config := append([]string{
		// Started as root it would become somebody who cannot read the key.
		"user " + me.Username,
		fmt.Sprintf("listener %d 127.0.0.1", m.port),
		"cafile " + clients,
		"certfile " + p.path("broker.pem"),
		"keyfile " + p.path("broker.key"),
		"require_certificate true",
		"use_identity_as_username true",
		"allow_anonymous false",
		"log_dest stderr",
		"log_type all",
	}, more...)
	p.write(name+".conf", strings.Join(config, "\n")+"\n")
	log, err := os.Create(m.log)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	m.process = exec.Command(mosquittoPath(p.t), "-c", p.path(name+".conf"))
	m.process.Stderr = log
	m.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	m.ended = make(chan struct{})
	go func() { defer close(m.ended); _ = m.process.Wait() }()
	p.t.Cleanup(m.stop)
	p.until(name+" listens", func() bool {
		select {
		case <-m.ended:
			p.t.Fatalf("mosquitto ended:\n%s", m.said())
		default:
		}
		return regexp.MustCompile(`mosquitto version \S+ running`).MatchString(m.said())
	})
	return m
}

func (m *mosquitto) stop() {
	_ = m.process.Process.Kill()
	<-m.ended
}

// said is the broker's log so far.
func (m *mosquitto) said() string {
	m.p.t.Helper()
	raw, err := os.ReadFile(m.log)
	if err != nil {
		m.p.t.Fatal(err)
	}
	return string(raw)
}

// mosquittoPath finds the broker, which not every user has on the PATH.
func mosquittoPath(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("mosquitto"); err == nil {
		return path
	}
	path, err := exec.LookPath("/usr/sbin/mosquitto")
	if err != nil {
		t.Fatalf("%v (scripts/install-deps.sh test installs it)", err)
	}
	return path
}

// freePort is a port that nobody listens on. It stays free unless somebody
// takes it at once, and then the broker says so.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// makeBroker writes the broker's own certificate, its key, and as
// products/broker-root.pem what the station trusts for it.
func (p *plant) makeBroker() {
	p.t.Helper()
	p.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=broker",
		"-keyout", p.path("broker.key"), "-out", p.path("broker.pem"),
		"-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,digitalSignature,keyCertSign",
		"-addext", "subjectAltName=IP:127.0.0.1", "-addext", "extendedKeyUsage=serverAuth")
	p.copy("broker.pem", "home/products/broker-root.pem")
}

// TestMosquitto rehearses with a real broker. The same board is refused where
// the broker is down, where it trusts another root and where it wants other
// client ids, and passes where it is welcome: with the certificate it had from
// the first attempt on.
func TestMosquitto(t *testing.T) {
	p := newPlant(t, posixProduct)
	p.makeBroker()
	ports := p.agents(1)
	attempt := func(port int, passes bool) unitEvent {
		t.Helper()
		p.write("home/products/gw.toml", posixProduct+"rehearse = \"mqtt://127.0.0.1:"+strconv.Itoa(port)+"\"\nrehearse_root = \"broker-root.pem\"\n")
		code, out, errs := p.do(p.batchArgs(ports)...)
		units, _ := events(t, out)
		if (code == exitPassed) != passes || len(units) != 1 {
			t.Fatalf("exit %d of %d units\n%s%s", code, len(units), out, errs)
		}
		return units[0]
	}
	refused := func(what string, port int, fault, detail string) {
		t.Helper()
		u := attempt(port, false)
		if u.Outcome == record.Passed || u.Fault != fault || !strings.Contains(u.Detail, detail) {
			t.Errorf("%s: %+v, want %s: %s", what, u, fault, detail)
		}
	}

	refused("nobody listens", freePort(t), "F-REHEARSE-02", "connection refused")

	// The broker's own certificate is a root too, but not the board's.
	foreign := p.startMosquitto("foreign", p.path("broker.pem"))
	refused("another root", foreign.port, "F-REHEARSE-01", "the broker refuses the certificate: remote error: tls: ")
	if log := foreign.said(); strings.Contains(log, "New client connected") {
		t.Errorf("a broker that trusts another root lets the board in:\n%s", log)
	}

	choosy := p.startMosquitto("choosy", p.path("root/root.pem"), "clientid_prefixes other-")
	refused("other client ids", choosy.port, "F-REHEARSE-01", "return code 5: the client is not authorised")

	welcome := p.startMosquitto("welcome", p.path("root/root.pem"))
	u := attempt(welcome.port, true)
	if u.Outcome != record.Passed || u.Attempt != 4 {
		t.Errorf("%+v", u)
	}
	cn := regexp.QuoteMeta(p.onlyCertificate(u.CertSHA256))
	for _, want := range []string{
		// Client id and user's name: the one is what the station said, the
		// other what the broker read from the certificate.
		`New client connected from 127\.0\.0\.1:\d+ as ` + cn + ` \(p2, c1, k30, u'` + cn + `'\)`,
		`Sending CONNACK to ` + cn + ` \(0, 0\)`,
		`Received DISCONNECT from ` + cn,
		`Client ` + cn + ` disconnected\.`,
	} {
		line := regexp.MustCompile(want)
		p.until("mosquitto says "+want, func() bool { return line.MatchString(welcome.said()) })
	}
	p.content()
}

// TestBrokerAddress: a mistake in a broker's address is told with its line.
func TestBrokerAddress(t *testing.T) {
	p := &plant{t: t, dir: t.TempDir()}
	if err := os.MkdirAll(p.path("home/products"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.makeBroker()
	check := func(address string) (code int, errs string) {
		p.write("home/products/gw.toml", posixProduct+"rehearse = \""+address+"\"\nrehearse_root = \"broker-root.pem\"\n")
		code, _, errs = p.do("product", "check", p.path("home/products/gw.toml"))
		return code, errs
	}
	if code, errs := check("mqtt://broker.example:8883"); code != exitPassed {
		t.Errorf("exit %d, %s", code, errs)
	}
	for _, wrong := range []string{"mqtt://broker.example", "mqtt://broker.example:0", "mqtts://broker.example:8883", "mqtt://:8883"} {
		if code, errs := check(wrong); code != exitUsage || !strings.Contains(errs, "gw.toml:3: rehearse: ") || !strings.Contains(errs, "mqtt://host:port") {
			t.Errorf("%s: exit %d, %s", wrong, code, errs)
		}
	}
}

// onlyCertificate demands that the ledger issued one certificate, this one, and
// that the board's last run rehearsed with it. It returns the common name.
func (p *plant) onlyCertificate(sha256 string) string {
	p.t.Helper()
	r, err := reader.Open(p.t.Context(), p.path("home/ledger/ledger.db"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer r.Close()
	issued, err := r.EntriesOf(p.t.Context(), reader.Query{Kinds: []string{record.KindIssued}})
	if err != nil {
		p.t.Fatal(err)
	}
	ends, err := r.EntriesOf(p.t.Context(), reader.Query{Kinds: []string{record.KindEnd}})
	if err != nil {
		p.t.Fatal(err)
	}
	if len(issued) != 1 || issued[0].Body.Cert != sha256 {
		p.t.Fatalf("%d certificates were issued, the last run installed %s", len(issued), sha256)
	}
	for i, e := range ends {
		if passed := i == len(ends)-1; (e.Body.Rehearsal != "") != passed {
			p.t.Errorf("run %d of %d recorded the rehearsal %q", i+1, len(ends), e.Body.Rehearsal)
		}
	}
	der, err := r.Blob(p.t.Context(), sha256)
	if err != nil {
		p.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil || leaf.Subject.CommonName == "" {
		p.t.Fatalf("the certificate %s names nobody, %v", sha256, err)
	}
	return leaf.Subject.CommonName
}
