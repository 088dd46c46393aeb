// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// medianOf is the middle value, of an even number the mean of the two.
func medianOf(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// medianBy is the median of one number of each value.
func medianBy[T any](values []T, number func(T) float64) float64 {
	var out []float64
	for _, v := range values {
		out = append(out, number(v))
	}
	return medianOf(out)
}

// syncTime measures n times what a commit costs the disk at the least: to
// append one page to a file and have it on the medium.
func syncTime(dir string, n int) ([]float64, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var out []float64
	page := make([]byte, 4096)
	for range n {
		begin := time.Now()
		if _, err := f.Write(page); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		out = append(out, time.Since(begin).Seconds())
	}
	return out, nil
}
