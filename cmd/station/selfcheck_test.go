// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

// TestSelfcheck: no board is started before the golden unit passed, nor with one
// that did not.
func TestSelfcheck(t *testing.T) {
	p := newPlant(t, posixProduct)
	ports := p.agents(2)
	golden := "00c0ffee0001"
	p.must(p.batchArgs(ports[:1])...)
	if code, _, errs := p.do("selfcheck", "--port", ports[0]); code != exitUsage || !strings.Contains(errs, "no golden unit is named") {
		t.Errorf("exit %d, %s", code, errs)
	}
	p.config("[keys]", "golden = '"+golden+"'\ngolden_every = '12h'\n[keys]")
	if code, _, errs := p.do(p.batchArgs(ports[1:])...); code != exitUnfit || !strings.Contains(errs, "golden unit "+golden+" passed never") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code, _, errs := p.do("selfcheck", "--port", ports[1]); code != exitUnfit || !strings.Contains(errs, "did not pass") {
		t.Errorf("another board: exit %d, %s", code, errs)
	}
	if code, _, _ := p.do(p.batchArgs(ports[1:])...); code != exitUnfit {
		t.Errorf("after a check that failed: exit %d", code)
	}
	if out := p.must("selfcheck", "--port", ports[0]); !strings.Contains(out, "the golden unit "+golden+" passed") {
		t.Error(out)
	}
	p.must(p.batchArgs(ports[1:])...)
	if code, _, _ := p.do("selfcheck", "--port", ports[1]); code != exitUnfit {
		t.Errorf("another board: exit %d", code)
	}
	if code, _, errs := p.do(p.batchArgs(ports[1:])...); code != exitUnfit || !strings.Contains(errs, "golden unit "+golden+" did not pass at") {
		t.Errorf("after a pass and a check that failed: exit %d, %s", code, errs)
	}
	p.sqlite("SELECT group_concat(outcome) FROM entry WHERE kind = 'selfcheck'", "failed,passed,failed")
	p.content()
}
