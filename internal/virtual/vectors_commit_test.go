// SPDX-License-Identifier: Apache-2.0

package virtual

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"testing"
)

// A commitCase is one block of commit.txt.
type commitCase struct {
	name    string
	verify  string // default ES256
	root    *node  // pinned, or nil
	chain   []byte
	anchors []byte
	rework  []byte
	named   []string // objects named in commit; default: those that are not nil
	short   map[string]int
	wrong   string // object whose digest, in put and in commit, is not that of its bytes
	obj     string // in the answer of rc 4 and 5
	rc      byte
}

// An estate is what commit vectors are made of: one device key and authorities
// around it.
type estate struct {
	device                 crypto.Signer
	root, inter, deep, sub *node
	leaf                   *node // by inter
}

func newEstate(t testing.TB) *estate {
	e := &estate{device: p256(t, "commit device")}
	e.root = issue(t, caTemplate("Root"), p256(t, "commit root"), nil)
	zero := caTemplate("Issuing")
	zero.MaxPathLen, zero.MaxPathLenZero = 0, true
	e.inter = issue(t, zero, p256(t, "commit inter"), e.root)
	e.deep = issue(t, caTemplate("Deep"), p256(t, "commit deep"), e.root)
	e.sub = issue(t, caTemplate("Sub"), p256(t, "commit sub"), e.deep)
	e.leaf = issue(t, leafTemplate("unit"), e.device, e.inter)
	return e
}

func der(nodes ...*node) []byte {
	var all []byte
	for _, n := range nodes {
		all = append(all, n.der...)
	}
	return all
}

// under issues a leaf for the device from a CA made by edit out of a good one.
func (e *estate) under(t testing.TB, issuer *node, edit func(*x509.Certificate)) []byte {
	template := caTemplate("Edited")
	edit(template)
	ca := issue(t, template, p256(t, "commit edited"), issuer)
	// CreateCertificate wants a parent that may sign: the leaf is made under
	// a good twin of the CA with the same name and key.
	twin := issue(t, caTemplate("Edited"), p256(t, "commit edited"), issuer)
	return der(issue(t, leafTemplate("unit"), e.device, twin), ca)
}

// flip returns der with the bit 0 of its last byte, the signature's, changed.
func flip(der []byte) []byte {
	b := bytes.Clone(der)
	b[len(b)-1] ^= 1
	return b
}

func commitVectors(t testing.TB, f *vectorFile) {
	f.comment("The commit command. d: private scalar of the device key (P-256); verify_text: the board's verify list;",
		"root: certificate pinned by the firmware, absent when none is pinned.",
		"chain, anchors, rework: bytes put before; X_put: only so many of them are put (two bytes, big-endian).",
		"X_sha: digest given to put and named in commit; an object without X_sha is not named.",
		"rc: the answer (00 = state 2); obj_text: what stands beside rc 4 and 5.")
	e := newEstate(t)
	for _, group := range [][]commitCase{
		goodCommits(t, e), stagingCommits(t, e), parseCommits(t, e), keyCommits(t, e), linkCommits(t, e),
		rootCommits(t, e), algorithmCommits(t, e),
	} {
		for _, c := range group {
			writeCommit(f, e, c)
		}
	}
}

func writeCommit(f *vectorFile, e *estate, c commitCase) {
	if c.verify == "" {
		c.verify = "ES256"
	}
	scalar, err := e.device.(interface{ Bytes() ([]byte, error) }).Bytes()
	if err != nil {
		panic(err)
	}
	pairs := []any{"d", scalar, "verify_text", c.verify}
	if c.root != nil {
		pairs = append(pairs, "root", c.root.der)
	}
	for _, o := range []struct {
		name string
		data []byte
	}{{"chain", c.chain}, {"anchors", c.anchors}, {"rework", c.rework}} {
		if o.data != nil {
			pairs = append(pairs, o.name, o.data)
		}
		if n, ok := c.short[o.name]; ok {
			pairs = append(pairs, o.name+"_put", []byte{byte(n >> 8), byte(n)})
		}
		if o.data != nil && c.named == nil || slices.Contains(c.named, o.name) {
			d := sha256.Sum256(o.data)
			if c.wrong == o.name {
				d[31] ^= 1
			}
			pairs = append(pairs, o.name+"_sha", d[:])
		}
	}
	if c.obj != "" {
		pairs = append(pairs, "obj_text", c.obj)
	}
	f.block(c.name, append(pairs, "rc", []byte{c.rc})...)
}

func goodCommits(t testing.TB, e *estate) []commitCase {
	one, two := mustSPKI(t, p256(t, "rework 0").Public()), mustSPKI(t, p256(t, "rework 1").Public())
	third := issue(t, caTemplate("Third"), p256(t, "commit third"), e.sub)
	pathLenOne := caTemplate("Edited")
	pathLenOne.MaxPathLen = 1
	mid := issue(t, pathLenOne, p256(t, "commit edited"), e.root)
	low := issue(t, caTemplate("Low"), p256(t, "commit low"), mid)
	dated := leafTemplate("unit")
	dated.NotAfter = dated.NotBefore.AddDate(0, 0, 1)
	return []commitCase{
		{name: "chain of two, pinned root", root: e.root, chain: der(e.leaf, e.inter)},
		{name: "chain of two, no pinned root", chain: der(e.leaf, e.inter)},
		{name: "everything named", root: e.root, chain: der(e.leaf, e.inter), anchors: e.root.der, rework: slices.Concat(one, two)},
		{name: "one rework key", chain: der(e.leaf, e.inter), rework: one},
		{name: "two anchors", chain: der(e.leaf, e.inter), anchors: der(e.root, e.deep)},
		{name: "leaf alone, under the pinned root", root: e.root, chain: der(issue(t, leafTemplate("unit"), e.device, e.root))},
		{name: "leaf alone, no pinned root", chain: e.leaf.der},
		{name: "chain of four", root: e.root, chain: der(issue(t, leafTemplate("unit"), e.device, third), third, e.sub, e.deep)},
		{name: "path length that just suffices", root: e.root, chain: der(issue(t, leafTemplate("unit"), e.device, low), low, mid)},
		{name: "dates are not checked", root: e.root, chain: der(issue(t, dated, e.device, e.inter), e.inter)},
		{name: "staged but not named", chain: der(e.leaf, e.inter), anchors: []byte("no certificate"), named: []string{"chain"}},
	}
}

func stagingCommits(t testing.TB, e *estate) []commitCase {
	chain := der(e.leaf, e.inter)
	half := map[string]int{"chain": len(chain) / 2}
	return []commitCase{
		{name: "chain not staged", named: []string{"chain"}, rc: rcWrongState},
		{name: "anchors not staged", chain: chain, named: []string{"chain", "anchors"}, rc: rcWrongState},
		{name: "rework not staged", chain: chain, named: []string{"chain", "rework"}, rc: rcWrongState},
		{name: "chain not complete", chain: chain, short: half, obj: "chain", rc: rcOffset},
		{name: "one byte of anchors missing", chain: chain, anchors: e.root.der, short: map[string]int{"anchors": len(e.root.der) - 1}, obj: "anchors", rc: rcOffset},
		{name: "digest of chain differs", chain: chain, wrong: "chain", obj: "chain", rc: rcDigest},
		{name: "digest of anchors differs", chain: chain, anchors: e.root.der, wrong: "anchors", obj: "anchors", rc: rcDigest},
		{name: "not staged comes before not complete", chain: chain, short: half, named: []string{"chain", "anchors"}, rc: rcWrongState},
		{name: "not complete comes before digest", chain: chain, anchors: e.root.der, short: map[string]int{"anchors": 0}, wrong: "chain", obj: "anchors", rc: rcOffset},
		{name: "digest comes before parse", chain: []byte("no certificate"), wrong: "chain", obj: "chain", rc: rcDigest},
	}
}

func parseCommits(t testing.TB, e *estate) []commitCase {
	chain := der(e.leaf, e.inter)
	key := mustSPKI(t, p256(t, "rework 0").Public())
	offCurve := bytes.Clone(key)
	offCurve[len(offCurve)-1] ^= 1
	third := issue(t, caTemplate("Third"), p256(t, "commit third"), e.sub)
	fourth := issue(t, caTemplate("Fourth"), p256(t, "commit fourth"), third)
	five := der(issue(t, leafTemplate("unit"), e.device, fourth), fourth, third, e.sub, e.deep)
	foreign := issue(t, leafTemplate("unit"), p256(t, "commit foreign"), e.inter)
	return []commitCase{
		{name: "empty chain", chain: []byte{}, rc: rcChain},
		{name: "one byte behind the chain", chain: append(bytes.Clone(chain), 0), rc: rcChain},
		{name: "garbage behind the chain", chain: append(bytes.Clone(chain), "\x30\x03\x02\x01\x00"...), rc: rcChain},
		{name: "last byte of the chain cut off", chain: chain[:len(chain)-1], rc: rcChain},
		{name: "chain in PEM", chain: []byte("-----BEGIN CERTIFICATE-----\n"), rc: rcChain},
		{name: "five certificates", root: e.root, chain: five, rc: rcChain},
		{name: "length in indefinite form", chain: append([]byte{0x30, 0x80}, e.leaf.der[4:]...), rc: rcChain},
		{name: "anchors do not parse", chain: chain, anchors: []byte("no certificate"), rc: rcChain},
		{name: "one byte behind the anchors", chain: chain, anchors: append(bytes.Clone(e.root.der), 0), rc: rcChain},
		{name: "empty anchors", chain: chain, anchors: []byte{}, rc: rcChain},
		{name: "empty rework", chain: chain, rework: []byte{}, rc: rcChain},
		{name: "rework key on P-384", chain: chain, rework: mustSPKI(t, p384(t, "rework 384").Public()), rc: rcChain},
		{name: "rework key is Ed25519", chain: chain, rework: mustSPKI(t, ed("rework ed").Public()), rc: rcChain},
		{name: "rework point not on the curve", chain: chain, rework: offCurve, rc: rcChain},
		{name: "second rework key not on the curve", chain: chain, rework: slices.Concat(key, offCurve), rc: rcChain},
		{name: "rework key cut short", chain: chain, rework: key[:len(key)-1], rc: rcChain},
		{name: "one byte behind the rework key", chain: chain, rework: append(bytes.Clone(key), 0), rc: rcChain},
		{name: "three rework keys", chain: chain, rework: slices.Concat(key, key, key), rc: rcChain},
		{name: "parse of rework comes before the leaf's key", chain: der(foreign, e.inter), rework: key[:90], rc: rcChain},
	}
}

func keyCommits(t testing.TB, e *estate) []commitCase {
	foreign := issue(t, leafTemplate("unit"), p256(t, "commit foreign"), e.inter)
	other := issue(t, caTemplate("Other root"), p256(t, "commit other root"), nil)
	return []commitCase{
		{name: "leaf for another key", root: e.root, chain: der(foreign, e.inter), rc: rcKeyMismatch},
		{name: "leaf for a key on another curve", root: e.root, chain: der(issue(t, leafTemplate("unit"), p384(t, "commit 384"), e.inter), e.inter), rc: rcKeyMismatch},
		{name: "intermediate first", root: e.root, chain: der(e.inter, e.leaf), rc: rcKeyMismatch},
		{name: "leaf's key comes before links", root: e.root, chain: der(foreign, e.deep), rc: rcKeyMismatch},
		{name: "leaf's key comes before the root", root: other, chain: der(foreign, e.inter), rc: rcKeyMismatch},
	}
}

func linkCommits(t testing.TB, e *estate) []commitCase {
	other := issue(t, caTemplate("Other root"), p256(t, "commit other root"), nil)
	impostor := issue(t, e.inter.cert, p256(t, "commit impostor"), e.root) // same name, another key
	edited := func(name string, rc byte, edit func(*x509.Certificate)) commitCase {
		return commitCase{name: name, root: e.root, chain: e.under(t, e.root, edit), rc: rc}
	}
	shallow := caTemplate("Edited")
	shallow.MaxPathLen, shallow.MaxPathLenZero = 0, true
	top := issue(t, shallow, p256(t, "commit edited"), e.root)
	low := issue(t, caTemplate("Low"), p256(t, "commit low"), top)
	return []commitCase{
		{name: "link broken: issuer is another name", root: e.root, chain: der(e.leaf, e.deep), rc: rcChain},
		{name: "link broken: same name, another key", root: e.root, chain: der(e.leaf, impostor), rc: rcChain},
		{name: "link broken: leaf's signature flipped", root: e.root, chain: slices.Concat(flip(e.leaf.der), e.inter.der), rc: rcChain},
		{name: "link broken: second certificate repeated", root: e.root, chain: der(e.leaf, e.inter, e.inter), rc: rcChain},
		{name: "link broken: order of two authorities", root: e.root, chain: der(issue(t, leafTemplate("unit"), e.device, e.sub), e.deep, e.sub), rc: rcChain},
		{name: "link broken: second link", root: e.root, chain: der(issue(t, leafTemplate("unit"), e.device, e.sub), e.sub, e.inter), rc: rcChain},
		edited("good twin of the edited ones", 0, func(*x509.Certificate) {}),
		edited("no basic constraints", rcChain, func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }),
		edited("CA is false", rcChain, func(c *x509.Certificate) { c.IsCA = false }),
		edited("no key usage", rcChain, func(c *x509.Certificate) { c.KeyUsage = 0 }),
		edited("key usage without keyCertSign", rcChain, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign }),
		edited("keyCertSign alone", 0, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }),
		{name: "path length exceeded", root: e.root, chain: der(issue(t, leafTemplate("unit"), e.device, low), low, top), rc: rcChain},
		{name: "broken link comes before the root", root: other, chain: slices.Concat(flip(e.leaf.der), e.inter.der), rc: rcChain},
	}
}

func rootCommits(t testing.TB, e *estate) []commitCase {
	other := issue(t, caTemplate("Other root"), p256(t, "commit other root"), nil)
	sameName := issue(t, caTemplate("Root"), p256(t, "commit other root"), nil)
	narrow := caTemplate("Narrow root")
	narrow.MaxPathLen, narrow.MaxPathLenZero = 0, true
	tight := issue(t, narrow, p256(t, "commit tight root"), nil)
	loose := caTemplate("Narrow root")
	wide := issue(t, loose, p256(t, "commit tight root"), nil)
	inter := issue(t, caTemplate("Under narrow"), p256(t, "commit under"), wide)
	return []commitCase{
		{name: "another root is pinned", root: other, chain: der(e.leaf, e.inter), rc: rcUntrusted},
		{name: "root of the same name with another key is pinned", root: sameName, chain: der(e.leaf, e.inter), rc: rcUntrusted},
		{name: "intermediate's signature flipped", root: e.root, chain: slices.Concat(e.leaf.der, flip(e.inter.der)), rc: rcUntrusted},
		{name: "intermediate's signature flipped, no pinned root", chain: slices.Concat(e.leaf.der, flip(e.inter.der))},
		{name: "leaf alone, not under the pinned root", root: e.root, chain: e.leaf.der, rc: rcUntrusted},
		{name: "path length of the pinned root exceeded", root: tight, chain: der(issue(t, leafTemplate("unit"), e.device, inter), inter), rc: rcUntrusted},
		{name: "path length of the pinned root suffices", root: tight, chain: der(issue(t, leafTemplate("unit"), e.device, wide))},
	}
}

func algorithmCommits(t testing.TB, e *estate) []commitCase {
	leafUnder := func(ca *node, alg x509.SignatureAlgorithm) *node {
		l := leafTemplate("unit")
		l.SignatureAlgorithm = alg
		return issue(t, l, e.device, ca)
	}
	big := issue(t, caTemplate("P-384"), p384(t, "commit ca 384"), e.root)
	bigRoot := issue(t, caTemplate("P-384 root"), p384(t, "commit root 384"), nil)
	underBig := issue(t, caTemplate("Under P-384"), p256(t, "commit under 384"), bigRoot)
	edwards := issue(t, caTemplate("Ed25519"), ed("commit ca ed"), e.root)
	rivest := issue(t, caTemplate("RSA"), rsaKey(t, "commit ca rsa", 2048), e.root)
	bad := leafUnder(big, 0)
	return []commitCase{
		{name: "ES384 link, ES384 in verify", verify: "ES256,ES384", root: e.root, chain: der(leafUnder(big, 0), big)},
		{name: "ES384 link, not in verify", root: e.root, chain: der(leafUnder(big, 0), big), rc: rcAlgorithm},
		{name: "SHA-384 by a key on P-256", verify: "ES256,ES384", root: e.root, chain: der(leafUnder(e.deep, x509.ECDSAWithSHA384), e.deep), rc: rcAlgorithm},
		{name: "SHA-256 by a key on P-384", verify: "ES256,ES384", root: e.root, chain: der(leafUnder(big, x509.ECDSAWithSHA256), big), rc: rcAlgorithm},
		{name: "EdDSA link, EdDSA in verify", verify: "ES256,EdDSA", root: e.root, chain: der(leafUnder(edwards, 0), edwards)},
		{name: "EdDSA link, not in verify", root: e.root, chain: der(leafUnder(edwards, 0), edwards), rc: rcAlgorithm},
		{name: "RS256 link, RS256 in verify", verify: "ES256,RS256", root: e.root, chain: der(leafUnder(rivest, 0), rivest)},
		{name: "RS256 link, not in verify", root: e.root, chain: der(leafUnder(rivest, 0), rivest), rc: rcAlgorithm},
		{name: "pinned root signed with an algorithm not in verify", root: bigRoot, chain: der(issue(t, leafTemplate("unit"), e.device, underBig), underBig), rc: rcAlgorithm},
		{name: "last signature not in verify, no pinned root", chain: der(issue(t, leafTemplate("unit"), e.device, underBig), underBig)},
		{
			name: "broken first link comes before the algorithm of the second", root: bigRoot,
			chain: slices.Concat(flip(issue(t, leafTemplate("unit"), e.device, underBig).der), underBig.der), rc: rcChain,
		},
		{name: "algorithm of the first link comes before the broken second", root: bigRoot, chain: slices.Concat(bad.der, flip(big.der)), rc: rcAlgorithm},
	}
}
