// SPDX-License-Identifier: Apache-2.0

package export

import (
	"strings"
	"time"

	"provisioning.example/station/internal/record"
)

// Selection narrows an export to what its fields say; empty ones do not count.
// In a pack it selects certificates by the entry that says they were issued.
type Selection struct {
	Order   string
	Product string
	Serial  string
	Outcome string // of runs; packs register what passed and take no other
	Person  string // the operator who did it, by ID
	Since   time.Time
	Until   time.Time // not included
}

func (s Selection) takes(b *record.Body) bool {
	return (s.Order == "" || b.Order == s.Order) &&
		(s.Product == "" || b.Product == s.Product) &&
		(s.Serial == "" || b.Serial == s.Serial) &&
		(s.Outcome == "" || b.Outcome == s.Outcome) &&
		(s.Person == "" || b.Operator == s.Person) &&
		// Text order is time order.
		(s.Since.IsZero() || b.Time >= record.Timestamp(s.Since)) &&
		(s.Until.IsZero() || b.Time < record.Timestamp(s.Until))
}

// String is the selection as an export entry records it.
func (s Selection) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("order", s.Order)
	add("product", s.Product)
	add("unit", s.Serial)
	add("result", s.Outcome)
	add("by", s.Person)
	if !s.Since.IsZero() {
		add("since", s.Since.UTC().Format(time.RFC3339))
	}
	if !s.Until.IsZero() {
		add("until", s.Until.UTC().Format(time.RFC3339))
	}
	return strings.Join(parts, " ")
}
