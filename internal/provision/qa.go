// SPDX-License-Identifier: Apache-2.0

package provision

import (
	"context"
	"errors"

	"provisioning.example/station/internal/operator"
	"provisioning.example/station/internal/record"
)

// QA is what qa does to the ledger, for a screen: each act is signed for with an id or badge and a PIN, tried then and there. Whoever holds
// a QA can do that and nothing else.
type QA struct {
	desk   Desk
	people *operator.Register
}

// NewQA is for who opened ledger and register. The desk's operator is who acts as long as nobody is registered.
func NewQA(desk Desk, people *operator.Register) *QA { return &QA{desk, people} }

// Signature is what somebody signs with.
type Signature struct {
	Operator string // id or badge
	PIN      []byte
}

// Registered tells whether the station has a register of operators. Without one nobody is asked for a signature: the zero [Signature] will do.
func (q *QA) Registered() bool { return !q.people.Empty() }

// Correct is [Desk.Correct] by who signs. Errors wrap [ErrRefused] where nothing was recorded because of what was asked or who asked.
func (q *QA) Correct(ctx context.Context, by Signature, c Correction) (*Corrected, error) {
	d, err := q.signed(ctx, by, operator.Correct)
	if err != nil {
		return nil, err
	}
	return d.Correct(ctx, c)
}

// Corrections reads all corrections of the ledger.
func (q *QA) Corrections(ctx context.Context) (*record.Corrections, error) {
	return q.desk.Corrections(ctx)
}

// Spans is [Desk.Spans]: what a sign-off would be about. It changes nothing and needs no signature.
func (q *QA) Spans(ctx context.Context, s Scope) ([]Span, error) { return q.desk.Spans(ctx, s) }

// SignOff is [Desk.SignOff] by who signs. Errors are those of [QA.Correct].
func (q *QA) SignOff(ctx context.Context, by Signature, spans []Span, s Statement) ([]int64, error) {
	d, err := q.signed(ctx, by, operator.SignOff)
	if err != nil {
		return nil, err
	}
	return d.SignOff(ctx, spans, s)
}

// signed is the desk with who signs sitting at it.
func (q *QA) signed(ctx context.Context, by Signature, to operator.Action) (Desk, error) {
	d := q.desk
	if q.people.Empty() {
		return d, nil
	}
	p, err := q.people.Find(by.Operator)
	if err != nil {
		return d, refused("%v", err)
	}
	if !p.Role.May(to) {
		return d, refused("%s is %s and may not %s: this is for %s", p.ID, p.Role, to, operator.WhoMay(to))
	}
	err = q.people.Check(p.ID, by.PIN)
	if wrong := (*operator.PINError)(nil); errors.As(err, &wrong) && wrong.Left == 0 {
		_, noted := d.append(ctx, d.stamp(record.Body{Kind: record.KindConfig, What: "operator", New: p.ID + " locked", Reason: "too many wrong PINs"}))
		return d, errors.Join(refused("%v", err), noted)
	}
	if err != nil {
		return d, refused("%v", err)
	}
	d.Operator, d.Role = p.ID, string(p.Role)
	return d, nil
}
