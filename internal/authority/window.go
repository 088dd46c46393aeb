// SPDX-License-Identifier: Apache-2.0

package authority

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The time in which an intermediate issues stands in its certificate as
// privateKeyUsagePeriod (X.509 9.2.2.4, RFC 3280 4.2.1.4): it ends before the
// certificate does, by the lifetime of the longest profile. It is not critical;
// who does not know it loses nothing. Revocation lists are signed beyond it.
var oidUsagePeriod = asn1.ObjectIdentifier{2, 5, 29, 16}

const generalizedTime = "20060102150405Z"

func windowExtension(from, until time.Time) (pkix.Extension, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i, t := range []time.Time{from, until} {
			b.AddASN1(cbasn1.Tag(i).ContextSpecific(), func(b *cryptobyte.Builder) {
				b.AddBytes([]byte(t.UTC().Format(generalizedTime)))
			})
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("encode the issuing window: %w", err)
	}
	return pkix.Extension{Id: oidUsagePeriod, Value: der}, nil
}

// windowOf reads the last second in which an intermediate issues; ok is false
// if its certificate does not say, as those of other roots do not.
func windowOf(c *x509.Certificate) (until time.Time, ok bool, err error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidUsagePeriod) {
			continue
		}
		var seq, from, end cryptobyte.String
		var hasFrom, hasEnd bool
		in := cryptobyte.String(e.Value)
		if !in.ReadASN1(&seq, cbasn1.SEQUENCE) || !in.Empty() ||
			!seq.ReadOptionalASN1(&from, &hasFrom, cbasn1.Tag(0).ContextSpecific()) ||
			!seq.ReadOptionalASN1(&end, &hasEnd, cbasn1.Tag(1).ContextSpecific()) || !seq.Empty() {
			return until, false, fmt.Errorf("%q has a privateKeyUsagePeriod that cannot be read", c.Subject)
		}
		if !hasEnd {
			return until, false, nil
		}
		if until, err = time.Parse(generalizedTime, string(end)); err != nil {
			return until, false, fmt.Errorf("%q has a privateKeyUsagePeriod that cannot be read: %w", c.Subject, err)
		}
		return until, true, nil
	}
	return until, false, nil
}

// IssuesUntil is the last second in which the intermediate issues: what its
// certificate says, or else, and never later than, the second after which a
// certificate of the longest profile would outlive the chain.
func (i *Installed) IssuesUntil(longest time.Duration) (time.Time, error) {
	end := i.Chain[0].NotAfter
	for _, c := range i.Chain {
		if c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	last := end.Add(time.Second - longest)
	window, ok, err := windowOf(i.Intermediate())
	if err == nil && ok && window.Before(last) {
		last = window
	}
	return last, err
}

// Constraints bound the names that certificates under an intermediate may have
// (RFC 5280 4.2.1.10). Empty lists bound nothing.
type Constraints struct {
	PermitDNS, ExcludeDNS []string // domains: example.com covers all names below it
	PermitIP, ExcludeIP   []string // networks: 10.1.0.0/16
	PermitURI             []string // host names: .example.com covers all names below it
}

// put writes the constraints into a template.
func (n Constraints) put(c *x509.Certificate) (err error) {
	for _, list := range [][]string{n.PermitDNS, n.ExcludeDNS, n.PermitURI} {
		for _, name := range list {
			if err := checkDomain(name); err != nil {
				return err
			}
		}
	}
	c.PermittedDNSDomains, c.ExcludedDNSDomains, c.PermittedURIDomains = n.PermitDNS, n.ExcludeDNS, n.PermitURI
	if c.PermittedIPRanges, err = networks(n.PermitIP); err != nil {
		return err
	}
	if c.ExcludedIPRanges, err = networks(n.ExcludeIP); err != nil {
		return err
	}
	c.PermittedDNSDomainsCritical = len(n.PermitDNS)+len(n.ExcludeDNS)+len(n.PermitURI)+len(n.PermitIP)+len(n.ExcludeIP) > 0
	return nil
}

// checkDomain lets through a domain in letters, digits and hyphens, with or
// without a dot before it.
func checkDomain(name string) error {
	labels := strings.Split(strings.TrimPrefix(name, "."), ".")
	for _, l := range labels {
		bad := func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-'
		}
		if l == "" || len(l) > 63 || len(name) > 253 || strings.ContainsFunc(l, bad) || l[0] == '-' || l[len(l)-1] == '-' {
			return fmt.Errorf("name constraint %.80q; allowed: a domain like example.com", name)
		}
	}
	return nil
}

func networks(list []string) (found []*net.IPNet, err error) {
	for _, text := range list {
		ip, network, err := net.ParseCIDR(text)
		if err != nil || !ip.Equal(network.IP) {
			return nil, fmt.Errorf("name constraint %.80q; allowed: a network like 10.1.0.0/16", text)
		}
		found = append(found, network)
	}
	return found, nil
}
