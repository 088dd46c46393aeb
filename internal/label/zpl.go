// SPDX-License-Identifier: Apache-2.0

package label

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// parseZPL reads one label as ZPL II, in which {name} stands for a value.
// Errors start with path:line.
func parseZPL(path string, raw []byte) ([]command, error) {
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("%s:1: the file is not UTF-8", path)
	}
	var out []command
	line, escape, comment := 1, byte(0), false
	rest := string(raw)
	lead := len(rest) - len(strings.TrimLeft(rest, " \t\r\n"))
	line += strings.Count(rest[:lead], "\n")
	for rest = rest[lead:]; rest != ""; {
		if rest[0] != '^' {
			return nil, fmt.Errorf("%s:%d: %.20q stands where a command with ^ must; commands with ~ are not for labels", path, line, rest)
		}
		end := strings.IndexAny(rest[1:], "^~") + 1
		if end == 0 {
			end = len(rest)
		}
		c, err := parseCommand(rest[1:end], &escape)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		c.line = line
		if c.name != "FX" && c.name != "FH" && !(comment && c.name == "FS") { // a comment may have an end
			out = append(out, c)
		}
		comment = c.name == "FX"
		line += strings.Count(rest[:end], "\n")
		rest = rest[end:]
	}
	if len(out) < 2 || out[0].name != "XA" || out[len(out)-1].name != "XZ" {
		return nil, fmt.Errorf("%s:%d: a label begins with ^XA and ends with ^XZ", path, line)
	}
	return out, nil
}

// parseCommand reads what stands between two prefixes. escape is the indicator
// of ^FH for the field that is open, 0 for none.
func parseCommand(s string, escape *byte) (command, error) {
	if len(s) < 2 {
		return command{}, fmt.Errorf("^%s is no command", strings.TrimSpace(s))
	}
	name, rest := strings.ToUpper(s[:2]), s[2:]
	if name == "FD" {
		literal, err := unescape(strings.TrimRight(rest, "\r\n"), *escape)
		if err == nil && strings.ContainsAny(literal, "\r\n") {
			err = errors.New("the text of ^FD goes over the end of its line")
		}
		if err != nil {
			return command{}, err
		}
		t, err := parseText(literal)
		return command{name: name, data: t}, err
	}
	rest = strings.TrimSpace(rest)
	switch name {
	case "FX":
		return command{name: name}, nil
	case "FH":
		*escape = '_'
		if len(rest) > 1 {
			return command{}, fmt.Errorf("^FH: %.20q, one character is allowed", rest)
		}
		if rest != "" {
			*escape = rest[0]
		}
		return command{name: name}, nil
	case "FS":
		*escape = 0
	}
	c := command{name: name}
	if rest != "" {
		c.args = strings.Split(rest, ",")
		for i := range c.args {
			c.args[i] = strings.TrimSpace(c.args[i])
		}
	}
	return c, c.check()
}

// unescape undoes ^FH in a template's own text.
func unescape(s string, indicator byte) (string, error) {
	if indicator == 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != indicator {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", fmt.Errorf("%q is not followed by two hex digits", string(indicator))
		}
		raw, err := hex.DecodeString(s[i+1 : i+3])
		if err != nil {
			return "", fmt.Errorf("%q is not followed by two hex digits", string(indicator))
		}
		b.Write(raw)
		i += 2
	}
	if !utf8.ValidString(b.String()) {
		return "", errors.New("the text of ^FD is not UTF-8")
	}
	return b.String(), nil
}

// indicator is the character that stands before two hex digits in what the
// station sends (^FH).
const indicator = '_'

// escapeField writes s so that it is nothing but text to the printer: letters, digits and
// a few signs as they are, every other byte as two hex digits. Neither the
// prefixes ^ and ~, nor the indicator itself, nor a control character is left.
func escapeField(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte(" .-/:+", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%c%02X", indicator, c)
		}
	}
	return b.String()
}
