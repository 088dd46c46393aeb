// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The exit codes of the program; scripts depend on them.
const (
	exitPassed      = 0 // all that was asked for is done
	exitUnits       = 1 // at least one unit did not pass
	exitUsage       = 2 // wrong usage, configuration or input
	exitUnfit       = 3 // the station is not fit to provision
	exitInterrupted = 4 // stopped by a person, everything on record
	exitUnproven    = 5 // ledger verify: nothing is wrong, but an anchor is missing
	exitRevoked     = 6 // ledger verify: valid, but somebody above took back an authority of the station
)

// exitError carries an exit code and a hint up to main.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// exit keeps the code of an error that has one already.
func exit(code int, err error, hint string) error {
	var e *exitError
	if errors.As(err, &e) {
		return err
	}
	return &exitError{code, err, hint}
}

// usage is an error of whoever typed; hint says what is allowed.
func usage(err error, hint string) error { return exit(exitUsage, err, hint) }

// unfit is an error of the station; hint says how it is mended.
func unfit(err error, hint string) error { return exit(exitUnfit, err, hint) }

// report is the only place that tells a person of an error: one line of what
// happened, one line of what to do. It returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitPassed
	}
	var e *exitError
	switch {
	case errors.As(err, &e) && (e.code == exitInterrupted || !errors.Is(err, context.Canceled)):
	case errors.Is(err, context.Canceled):
		e = &exitError{exitInterrupted, errors.New("interrupted"), "everything is on record; the same command goes on"}
	default:
		e = &exitError{exitUsage, err, "see station --help"}
	}
	fmt.Fprintf(w, "error: %s\n", oneLine(err.Error()))
	if e.hint != "" {
		fmt.Fprintf(w, "hint: %s\n", e.hint)
	}
	return e.code
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
