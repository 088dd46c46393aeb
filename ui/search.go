// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"provisioning.example/station/internal/ledger/reader"
	"provisioning.example/station/internal/record"
)

// wish is what somebody looks for in the ledger.
type wish struct {
	reader.Filter
	entry record.Place // the page begins with this entry; epoch 0 is the newest. Zero: nobody asked
}

// term is a part of a search as it was typed: a word, or key:value.
type term struct {
	typed    string
	readings []reading // what it may mean, the likeliest first; of several the ledger knows the right one
	problem  string    // why it means nothing
}

// reading is one meaning of a term.
type reading struct {
	key, value string
	text       string // for people
	narrow     func(*wish)
}

// String is the reading as it can be typed, which has no other meaning.
func (r reading) String() string {
	if strings.ContainsFunc(r.value, func(c rune) bool { return c == ' ' }) {
		return r.key + `:"` + r.value + `"`
	}
	return r.key + ":" + r.value
}

// maxTerms bounds a search; the ledger is asked about each term.
const maxTerms = 10

// parseSearch reads what was typed. now and its zone give the days their meaning.
func parseSearch(text string, now time.Time) []term {
	words := splitWords(text)
	loose := !slices.ContainsFunc(words, func(w string) bool { return len(sureReadings(w, now)) > 0 || keyOf(w) != "" })
	if whole := strings.TrimSpace(text); len(words) > 1 && loose && !strings.Contains(whole, `"`) {
		return []term{{typed: text, readings: guesses(whole)}} // a serial number may have spaces
	}
	var terms []term
	for _, w := range words[:min(len(words), maxTerms)] {
		terms = append(terms, parseTerm(w, now))
	}
	if len(words) > maxTerms {
		terms = append(terms, term{typed: words[maxTerms], problem: fmt.Sprintf("a search has at most %d parts", maxTerms)})
	}
	return terms
}

// splitWords cuts at spaces outside of double quotes, which it keeps.
func splitWords(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

// keyOf is the key of key:value, "" for a plain word: serial numbers may have colons.
func keyOf(word string) string {
	key, _, ok := strings.Cut(word, ":")
	if ok && slices.Contains(searchKeys, key) {
		return key
	}
	return ""
}

// searchKeys are the words before a colon.
var searchKeys = []string{"serial", "id", "cert", "key", "order", "operator", "fault", "result", "on", "from", "to", "kind", "run", "entry"}

func parseTerm(word string, now time.Time) term {
	t := term{typed: word}
	key := keyOf(word)
	if key == "" {
		plain := strings.ReplaceAll(word, `"`, "")
		if t.readings = sureReadings(plain, now); len(t.readings) == 0 || t.readings[0].key == "on" { // a serial number may look like a date
			t.readings = append(t.readings, guesses(plain)...)
		}
		if len(t.readings) == 0 {
			t.problem = fmt.Sprintf("%.40q means nothing", word)
		}
		return t
	}
	value := strings.ReplaceAll(word[len(key)+1:], `"`, "")
	r, problem := readKey(key, value, now)
	if problem != "" {
		t.problem = problem
		return t
	}
	t.readings = []reading{r}
	return t
}

var (
	faultPattern = regexp.MustCompile(`^(?i)F-[A-Z]+-[0-9]{2}$`)
	hexPattern   = regexp.MustCompile(`^[0-9a-f]+$`)
)

// sureReadings are the meanings of a word that its form tells.
func sureReadings(word string, now time.Time) []reading {
	try := func(keys ...string) (out []reading) {
		for _, key := range keys {
			if r, problem := readKey(key, word, now); problem == "" {
				out = append(out, r)
			}
		}
		return out
	}
	digits := hexDigits(word)
	switch {
	case faultPattern.MatchString(word):
		return try("fault")
	case strings.HasPrefix(word, "#"):
		return try("entry")
	case len(digits) == 64 && hexPattern.MatchString(digits):
		return try("cert", "key", "id")
	}
	return try("result", "on")
}

// guesses are the meanings that a word may have if the ledger knows it.
func guesses(word string) (out []reading) {
	for _, key := range []string{"serial", "id", "cert", "order", "operator", "run"} {
		if r, problem := readKey(key, word, time.Time{}); problem == "" {
			out = append(out, r)
		}
	}
	return out
}

// hexDigits takes the colons out of a fingerprint and makes it lower-case, as the ledger writes it.
func hexDigits(value string) string { return strings.ToLower(strings.ReplaceAll(value, ":", "")) }

// readKey gives key:value its meaning, or says why it has none.
func readKey(key, value string, now time.Time) (r reading, problem string) {
	r = reading{key: key, value: value}
	if value == "" {
		return r, key + ": what?"
	}
	switch key {
	case "serial":
		return r.is("serial "+value+ellipsis, func(w *wish) { w.SerialPrefix = value })
	case "order":
		return r.is("order "+value, func(w *wish) { w.Order = value })
	case "operator":
		return r.is("operator "+value, func(w *wish) { w.Operator = value })
	case "fault":
		code := strings.ToUpper(value)
		return r.is("fault "+code, func(w *wish) { w.Fault = code })
	case "result":
		return r.readResult()
	case "kind":
		return r.readKind()
	case "entry":
		return r.readEntry()
	case "on", "from", "to":
		return r.readDate(now)
	}
	return r.readDigits()
}

func (r reading) is(text string, narrow func(*wish)) (reading, string) {
	r.text, r.narrow = text, narrow
	return r, ""
}

// resultWords are the words for how a run ended.
var resultWords = map[string]string{
	"passed": record.Passed, "pass": record.Passed, "failed": record.Failed, "fail": record.Failed, "error": record.Error, "aborted": record.Aborted,
}

func (r reading) readResult() (reading, string) {
	outcome := resultWords[strings.ToLower(r.value)]
	if outcome == "" {
		return r, "a result is passed, failed, error or aborted"
	}
	return r.is(outcome, func(w *wish) { w.Outcome = outcome })
}

func (r reading) readKind() (reading, string) {
	for _, k := range record.Kinds() {
		if k.Name == r.value {
			return r.is("kind "+k.Name, func(w *wish) { w.Kinds = append(w.Kinds, k.Name) })
		}
	}
	return r, fmt.Sprintf("there is no kind of entry %.20q", r.value)
}

// readEntry reads NUMBER or EPOCH/NUMBER, with or without a # and groups of three.
func (r reading) readEntry() (reading, string) {
	var at record.Place
	epoch, seq, named := strings.Cut(strings.TrimPrefix(r.value, "#"), "/")
	var err error
	if !named {
		seq = epoch
	} else if at.Epoch, err = strconv.Atoi(epoch); err != nil || at.Epoch < 1 || at.Epoch > record.MaxEpoch {
		return r, "an entry is #NUMBER, or #EPOCH/NUMBER"
	}
	at.Seq, err = strconv.ParseInt(strings.NewReplacer(nbsp, "", " ", "").Replace(seq), 10, 64)
	if err != nil || at.Seq < 1 || at.Seq >= 1<<40 {
		return r, "an entry is #NUMBER, or #EPOCH/NUMBER"
	}
	r.value = strings.TrimPrefix(r.value, "#")
	return r.is("entry "+grouped(at.Seq), func(w *wish) { w.entry = at })
}

// readDigits reads what the ledger keeps in hex: device IDs, certificates, keys and runs.
func (r reading) readDigits() (reading, string) {
	digits := hexDigits(r.value)
	if _, err := hex.DecodeString(digits); err != nil || len(digits) > 64 {
		return r, r.key + ": pairs of hex digits, at most 32"
	}
	short := digits
	if len(short) > 12 {
		short = short[:12] + ellipsis
	}
	switch {
	case r.key == "id":
		return r.is("device ID "+short, func(w *wish) { w.UID = digits })
	case r.key == "cert" && len(digits) == 64:
		return r.is("certificate "+short, func(w *wish) { w.Cert = digits })
	case r.key == "cert" && len(digits) <= 40:
		return r.is("certificate no. "+short, func(w *wish) { w.CertSerial = digits })
	case r.key == "key" && len(digits) == 64:
		return r.is("key "+short, func(w *wish) { w.SPKI = digits })
	case r.key == "run" && len(digits) == 32:
		return r.is("run "+short, func(w *wish) { w.Run = digits })
	}
	return r, fmt.Sprintf("%s: %d digits are not it", r.key, len(digits))
}
