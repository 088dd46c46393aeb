// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Example returns an entry of the named kind that carries every field the kind may have
// (an end that passed has no fault), or an empty body for an unknown kind.
func Example(kind string) Body {
	k, _ := kindNamed(kind)
	parts := make([]string, 0, len(fieldTable))
	for _, f := range fieldTable {
		if !k.has(f.Name) || kind == KindEnd && (f.Name == "fault" || f.Name == "fault_step") {
			continue
		}
		example := f.Example
		if allowed := k.Values[f.Name]; allowed != nil {
			example = `"` + allowed[0] + `"`
		}
		if f.Name == "kind" {
			example = `"` + kind + `"`
		}
		parts = append(parts, `"`+f.Name+`":`+example)
	}
	var b Body
	if err := json.Unmarshal([]byte("{"+strings.Join(parts, ",")+"}"), &b); err != nil {
		return Body{}
	}
	return b
}

// Document writes the tables of kinds and fields, with an example of every kind, as Markdown.
func Document(w io.Writer) error {
	var s strings.Builder
	s.WriteString("## Fields\nA field that is empty, zero or false is absent. No other field exists.\n\n| field | type | limit | meaning | example |\n|---|---|---|---|---|\n")
	for _, f := range fieldTable {
		limit := ""
		if f.Max > 0 {
			limit = fmt.Sprint(f.Max)
		}
		fmt.Fprintf(&s, "| `%s` | %s | %s | %s | `%s` |\n", f.Name, f.Type, limit, f.Doc, f.Example)
	}
	s.WriteString("\n## Kinds\nEvery entry has `kind`, `station`, `time`, `operator` and `software` besides.\n")
	for _, k := range kindTable {
		if err := documentKind(&s, k); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, s.String())
	return err
}

func documentKind(s *strings.Builder, k Kind) error {
	raw, err := Example(k.Name).Encode()
	if err != nil {
		return fmt.Errorf("example of %s: %w", k.Name, err)
	}
	var optional []string
	for _, name := range k.Optional {
		if !slices.Contains(k.Required, name) {
			optional = append(optional, name)
		}
	}
	fmt.Fprintf(s, "\n### %s\n%s.\n\n", k.Name, k.Doc)
	writeNames(s, "Required", k.Required)
	writeNames(s, "Optional", optional)
	for _, f := range fieldTable {
		if allowed := k.Values[f.Name]; allowed != nil {
			fmt.Fprintf(s, "- `%s` is one of: %s\n", f.Name, strings.Join(allowed, ", "))
		}
	}
	fmt.Fprintf(s, "\n```json\n%s\n```\n", raw)
	return nil
}

func writeNames(s *strings.Builder, title string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(s, "- %s: `%s`\n", title, strings.Join(names, "`, `"))
	}
}
